"""``make reference`` writes ``docs/configuration.md``: every setting of both rooms, from its docstring."""

from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import bento.settings
from bento.pacs.settings import PacsSettings
from trainer.commands import COMMANDS
from trainer.files import write_text
from trainer.settings import ENV_PREFIX, Settings, group_of

FILE = Path(__file__).parents[1] / "configuration.md"
HEAD = """\
# Configuration

Made by `make reference` from the settings themselves; a test sees to it that it is up to date.

## Trainer

`python -m trainer COMMAND --help` shows the same. A setting comes from, in this order: its flag, its environment
variable, the YAML file given by `--config FILE` (`image_size: 160`), its default. An unknown name is refused in each.

### A run

`run` reads all of these. Its steps take them all too, so that one list of flags serves every step, and say which they
don't read.
"""
SERVICE = """\
## Service

Environment variables, read when the service starts; a wrong value ends it with one line that names the variable.
"""
GATEWAY = """\
## PACS gateway

Of `python -m bento.pacs run`: a flag, or else an environment variable.
"""
KINDS = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text", Path: "path"}
STEPS = [name for name, command in COMMANDS.items() if issubclass(command.settings, Settings) and name != "run"]
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def reference() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    groups: dict[str, list[str]] = {}
    for name in Settings.model_fields:
        groups.setdefault(group_of(Settings, name), []).append(name)
    for title, names in groups.items():
        parts.append(f"#### {title}\n\n" + _flags(Settings, names))
    for name, command in COMMANDS.items():
        inherited = Settings.model_fields if issubclass(command.settings, Settings) else {}
        own = [setting for setting in command.settings.model_fields if setting not in inherited]
        if own:
            parts.append(f"### `{name}`{' also' if inherited else ''}\n\n" + _flags(command.settings, own))
    return "\n".join([*parts, SERVICE, _variables(bento.settings.Settings), GATEWAY, _gateway()])


def _gateway() -> str:
    prefix = bento.settings.PACS_PREFIX
    rows = [
        [f"`--{name.replace('_', '-')}`", f"`{prefix}{name.upper()}`", _default(field), _values(field), _meaning(field)]
        for name, field in PacsSettings.model_fields.items()
    ]
    return _table(["flag", "environment variable", "default", "values", "meaning"], rows)


def _flags(cls: type[BaseSettings], names: Iterable[str]) -> str:
    rows = []
    for name in names:
        field = cls.model_fields[name]
        positional = any(getattr(one, "__name__", "") == "_CliPositionalArg" for one in field.metadata)
        flag = name.upper() if positional else f"--{name.replace('_', '-')}"
        variable = "" if field.is_required() else f"`{ENV_PREFIX}{name.upper()}`"
        row = [f"`{flag}`", variable, _default(field), _values(field), _meaning(field)]
        if cls is Settings:
            row.insert(4, ", ".join(command for command in STEPS if name in COMMANDS[command].reads))
        rows.append(row)
    readers_head = ["read by"] if cls is Settings else []
    return _table(["flag", "environment variable", "default", "values", *readers_head, "meaning"], rows)


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
    if field.default in (None, "", ()):
        return "none"
    default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
    value = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{value}`"


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if NoneType in get_args(kind):
        (kind,) = set(get_args(kind)) - {NoneType}
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    several = get_origin(kind) in (list, tuple)
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
    return " ".join((field.description or "").split()).replace("``", "`")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    write_text(FILE, reference())
