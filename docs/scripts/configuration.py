"""``make reference`` writes ``docs/configuration.md``: every setting of both rooms, from its docstring."""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import bento.settings
from trainer.cli import COMMANDS
from trainer.files import write_text
from trainer.settings import ENV_PREFIX, Settings

FILE = Path(__file__).parents[1] / "configuration.md"
HEAD = """\
# Configuration

Made by `make reference` from the settings themselves; a test sees to it that it is up to date.

## Trainer

`python -m trainer COMMAND --help` shows the same. A setting comes from, in this order: its flag, its environment
variable, the YAML file given by `--config FILE` (`image_size: 160`), its default. An unknown name is refused in each.
"""
SERVICE = """\
## Service

Environment variables, read when the service starts; a wrong value ends it with one line that names the variable.
"""
KINDS = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text", Path: "path"}
SECTION = re.compile(r"^    # --- (\w+) -+$", re.MULTILINE)
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def reference() -> str:
    """The page as Markdown."""
    shared = [f"`{name}`" for name, (cls, _, _) in COMMANDS.items() if issubclass(cls, Settings)]
    parts = [HEAD, f"### Runs\n\nOf {', '.join(shared)}.\n"]
    for title, names in _sections().items():
        parts.append(f"#### {title.capitalize()}\n\n" + _flags(Settings, names))
    for command, (cls, _, _) in COMMANDS.items():
        inherited = Settings.model_fields if issubclass(cls, Settings) else {}
        if cls is not Settings:
            own = [name for name in cls.model_fields if name not in inherited]
            parts.append(f"### `{command}`{' also' if inherited else ''}\n\n" + _flags(cls, own))
    return "\n".join([*parts, SERVICE, _variables(bento.settings.Settings)])


def _sections() -> dict[str, list[str]]:
    """The settings of a run below the headings of their class's source."""
    _, *parts = SECTION.split(inspect.getsource(Settings))
    return {
        title: [name for name in Settings.model_fields if re.search(rf"^    {name}:", text, re.MULTILINE)]
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _flags(cls: type[BaseSettings], names: Iterable[str]) -> str:
    rows = []
    for name in names:
        field = cls.model_fields[name]
        positional = any(getattr(one, "__name__", "") == "_CliPositionalArg" for one in field.metadata)
        flag = name.upper() if positional else f"--{name.replace('_', '-')}"
        variable = "" if positional else f"`{ENV_PREFIX}{name.upper()}`"
        rows.append([f"`{flag}`", variable, _default(field), _values(field), _meaning(field)])
    return _table(["flag", "environment variable", "default", "values", "meaning"], rows)


def _variables(cls: type[BaseSettings]) -> str:
    prefix = bento.settings.ENV_PREFIX
    rows = [
        [f"`{prefix}{name.upper()}`", _default(field), _values(field), _meaning(field)]
        for name, field in cls.model_fields.items()
    ]
    return _table(["environment variable", "default", "values", "meaning"], rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if field.default_factory is not None:
        return "by the cores"
    if field.default in (None, ""):
        return "none"
    value = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"`{value}`"


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if NoneType in get_args(kind):
        (kind,) = set(get_args(kind)) - {NoneType}
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    several = get_origin(kind) is list
    text = KINDS[get_args(kind)[0] if several else kind] + (", one or more" if several else "")
    bounds = [
        f"{sign} {getattr(one, name):,}"
        for one in field.metadata
        for name, sign in SIGNS.items()
        if getattr(one, name, None) is not None
    ]
    patterns = [f"`{one.pattern}`" for one in field.metadata if getattr(one, "pattern", None)]
    return ", ".join([text, *bounds, *patterns])


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("``", "`")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write_text(FILE, reference())
