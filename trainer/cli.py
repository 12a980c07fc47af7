"""The command line: ``python -m trainer [command] [settings]``."""

import argparse
import difflib
import importlib.metadata
import io
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, NoDecode, SettingsError

from trainer.commands import COMMANDS
from trainer.errors import UserError, first_error
from trainer.running.runs import read_config
from trainer.settings import ENV_PREFIX, CommandSettings, group_of

PROGRAM = "python -m trainer"
DISTRIBUTION = "chest-xray-service"
S = TypeVar("S", bound=CommandSettings)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are the user's, and whose settings stand below the headings of their classes."""

    def __init__(self, command: str) -> None:
        prog = f"{PROGRAM} {command}"
        # Only full names: an abbreviation would change its meaning with the next setting that is added.
        super().__init__(prog, f"{prog} [settings]", COMMANDS[command].about, allow_abbrev=False)
        self.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
        self._command = COMMANDS[command]
        self._heading = cache(self.add_argument_group)

    def add_setting(self, *names: str, **options: Any) -> argparse.Action:
        """Add a setting's argument below its heading; one that the command does not read is not shown."""
        if not names[0].startswith("-"):
            shown = "[{}]" if options.get("nargs") == "?" else "{}"
            self.usage = f"{self.usage} {shown.format(options['metavar'])}"
            return self.add_argument(*names, **options)
        names = tuple(f"--{name.lstrip('-')}" for name in names)  # pydantic would have a setting of one letter as -n
        if _is_repeated(self._command.settings, options["dest"]):
            options["metavar"] = "str"
        if options["dest"] not in self._command.reads:
            return self.add_argument(*names, **options | {"help": argparse.SUPPRESS})
        return self._heading(group_of(self._command.settings, options["dest"])).add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def load_settings(cls: type[S], command: str, argv: Sequence[str]) -> S:
    """Settings from flags, environment variables and the YAML file of ``--config``, in this order.

    The environment and the file may hold settings of other commands, too.

    Raises:
        UserError: an unknown setting or a bad value, named as the user gave it.
    """
    parser = _Parser(command)
    source = CliSettingsSource[Any](cls, root_parser=parser, add_argument_method=_Parser.add_setting)
    parsed, unknown = parser.parse_known_args(argv)
    if unknown:
        meant = _meant(unknown[0].partition("=")[0], map(_flag, COMMANDS[command].reads))
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    every = {name for each in COMMANDS.values() for name in each.settings.model_fields}
    variables = {name[len(ENV_PREFIX) :].lower(): name for name in os.environ if name.upper().startswith(ENV_PREFIX)}
    for name, variable in variables.items():
        if name not in every:
            meant = _meant(variable, [f"{ENV_PREFIX}{known.upper()}" for known in every])
            parser.error(f"environment variable {variable}: no such setting{meant}")
    config: Path | None = parsed.config
    if config and not config.is_file():
        raise UserError(f"--config {config}: no such file")
    file_values = read_config(config) if config else {}
    for name in file_values.keys() - every:
        parser.error(f"{config}: {name}: unknown setting{_meant(name, every)}")

    flags: dict[str, Any] = {}
    try:
        repeated = {name: values for name, values in vars(parsed).items() if _is_repeated(cls, name) and values}
        flags = source(parsed_args=parsed)() | repeated
        others = {name: value for name, value in file_values.items() if name in cls.model_fields.keys() - variables}
        settings = cls(**others | flags)
    except ValidationError as error:
        name, message = first_error(error)
        where = _flag(name) if name in flags else variables.get(name) or f"{config}: {name}"
        parser.error(f"{where}: {message}")
    except SettingsError as error:
        parser.error(str(error).splitlines()[0])
    if unread := sorted(flags.keys() - COMMANDS[command].reads):
        print(f"trainer: {command} does not read {', '.join(map(_flag, unread))}", file=sys.stderr)
    return settings


def _is_repeated(cls: type[CommandSettings], name: str) -> bool:
    """Whether a setting takes one value each time that its flag is given; commas in a value separate nothing."""
    return name in cls.model_fields and NoDecode in cls.model_fields[name].metadata


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _how_to_go_on(command: str) -> str:
    """What is said after an interruption that the command itself says nothing of."""
    resumable = command in COMMANDS and "resume" in COMMANDS[command].reads
    return "; what is finished is kept, go on with the same command and --resume" if resumable else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1: some files failed, or something is to be mended; 2: the user's mistake; 130: Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command = "run"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's or the pipe's encoding lacks must not end a command whose work is done.
            stream.reconfigure(errors="backslashreplace")
    try:
        if words[:1] == ["--version"]:
            print(f"{DISTRIBUTION} {_version()}")
            return 0
        if words[:1] in (["-h"], ["--help"]):
            _print_commands()
            words[0:0] = ["run"]
        if words and not words[0].startswith("-"):
            command = words.pop(0)
        if command not in COMMANDS:
            choice = f"choose from {', '.join(COMMANDS)}"
            raise UserError(f"unknown command {command!r}; {choice}{_meant(command, COMMANDS)}")
        return COMMANDS[command].action(load_settings(COMMANDS[command].settings, command, words)) or 0
    except UserError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        # Under torchrun another one follows from its agent; what is left to do is to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        told = str(interrupt) or f"interrupted{_how_to_go_on(command)}"
        if os.environ.get("RANK", "0") == "0":
            print(f"\ntrainer: {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"trainer: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed: see pyproject.toml)"


def _print_commands() -> None:
    print(f"usage: {PROGRAM} [command] [settings]\n\ncommands (default: run):")
    for name, command in COMMANDS.items():
        print(f"  {name:10} {command.about}")
    print()
