"""The command line: ``python -m trainer [command] [settings]``."""

import argparse
import difflib
import importlib.metadata
import io
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from trainer.errors import UserError, first_error
from trainer.runs import find_run, read_config
from trainer.settings import (
    ENV_PREFIX,
    CommandSettings,
    DataSettings,
    DoctorSettings,
    EvaluateSettings,
    EvaluationSettings,
    PredictSettings,
    ReportSettings,
    RobustnessSettings,
    Settings,
    group_of,
)

PROGRAM = "python -m trainer"
DISTRIBUTION = "chest-xray-service"


class Command(NamedTuple):
    """A command of the command line."""

    settings: type[CommandSettings]
    action: Callable[[Any], int | None]
    """Gives the exit code; None is 0."""
    about: str
    reads: frozenset[str]
    """The settings that it reads. It takes all of a run's, so that one list of flags serves every step."""


COMMANDS: dict[str, Command] = {}
FETCHED = {name for name in DataSettings.model_fields if name.startswith(("dataset", "kaggle", "replace", "sample"))}
SPLIT = {"split", "patient_pattern"}
RUN = {"data_dir", "runs_dir", "run"}
S = TypeVar("S", bound=CommandSettings)
Action = Callable[[S], int | None]


def _command(settings: type[S], reads: Collection[str] | None = None) -> Callable[[Action[S]], Action[S]]:
    """Make a function a command of its name; its docstring is the help text. ``reads``: by default all settings."""

    def register(action: Action[S]) -> Action[S]:
        own = settings.model_fields.keys() - Settings.model_fields
        names = frozenset(settings.model_fields if reads is None else own.union(reads))
        COMMANDS[action.__name__.strip("_")] = Command(settings, action, str(action.__doc__), names)
        return action

    return register


@_command(Settings)
def _run(settings: Settings) -> None:
    """fetch, split, train, evaluate and publish, one after another"""
    from trainer.pipeline import run_everything

    run_everything(settings)


@_command(Settings, {*FETCHED, "data_dir", "seed", "workers"})
def _fetch(settings: Settings) -> None:
    """copy or link a dataset's images into data/raw/<CLASS>/"""
    from trainer.data.fetch import fetch

    fetch(settings)


@_command(Settings, {*SPLIT, "data_dir", "seed"})
def _split(settings: Settings) -> None:
    """make data/{train,val,test}/<CLASS>/ and data/manifest.csv"""
    from trainer.data.split import split

    split(settings)


@_command(Settings, Settings.model_fields.keys() - FETCHED - SPLIT)
def _train(settings: Settings) -> None:
    """train on the split data: Phase A, Phase B, export"""
    from trainer.training.train import train_run

    run = train_run(settings)
    if os.environ.get("RANK", "0") == "0":
        print(f"trained: {run.folder}; watch it with tensorboard --logdir {settings.runs_dir}")


@_command(EvaluateSettings, {*RUN, "dataset", "workers", *EvaluationSettings.model_fields})
def _evaluate(settings: EvaluateSettings) -> None:
    """judge a run on its test split, or a stored model on any folder"""
    from trainer.evaluate import evaluate_run, evaluate_stored

    if settings.model is None:
        if settings.out is not None:
            raise UserError("evaluate: --out goes with --model; a run's evaluation is written into its own folder")
        evaluate_run(settings)
    else:
        if "dataset" not in settings.model_fields_set or settings.out is None:
            raise UserError("evaluate: --model needs --dataset PATH (a folder of images) and --out DIR")
        evaluate_stored(settings.model, settings.dataset, settings.out, settings.workers)


@_command(Settings, Settings.model_fields.keys() - {"hold_out_site", "resume"})
def _matrix(settings: Settings) -> None:
    """fetch, split, then train and evaluate without each site in turn"""
    from trainer.pipeline import run_matrix

    run_matrix(settings)


@_command(RobustnessSettings, {*RUN, "dataset", "workers"})
def _robustness(settings: RobustnessSettings) -> None:
    """what a run or a stored model loses on images of simulated other scanners"""
    from trainer.evaluate import evaluate_robustness

    if settings.model and "dataset" not in settings.model_fields_set:
        raise UserError("robustness: --model needs --dataset PATH (a folder of images)")
    evaluate_robustness(settings)


@_command(Settings, RUN)
def _publish(settings: Settings) -> None:
    """put a run's model into the BentoML model store"""
    from trainer.publish import publish

    moved = settings.data_dir if "data_dir" in settings.model_fields_set else None
    print(f"published: {publish(find_run(settings), moved)}; serve it with bentoml serve")


@_command(ReportSettings)
def _report(settings: ReportSettings) -> None:
    """rebuild the reports of evaluated runs; several runs are compared"""
    from trainer.reporting.report import report_runs

    report_runs(settings.runs_dir, settings.runs)


@_command(PredictSettings)
def _predict(settings: PredictSettings) -> int:
    """classify image files with a stored model; exit code 1 where some can't be read"""
    from trainer.inference.predict import predict

    failed = predict(settings.files, settings.model, settings.format, settings.workers, settings.out, settings.explain)
    if failed:
        print(f"trainer: {failed:,} of the files can't be read; their lines say why", file=sys.stderr)
    return 1 if failed else 0


@_command(DoctorSettings)
def _doctor(settings: DoctorSettings) -> int:
    """what this machine can do and has, which command comes next; exit code 1 where a line, marked !, must be mended"""
    from trainer.doctor import doctor

    return 1 if doctor(settings.data_dir, settings.runs_dir) else 0


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
            self.usage = f"{self.usage} {options['metavar']}"
            return self.add_argument(*names, **options)
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
        flags = source(parsed_args=parsed)()
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


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1: some files failed, or something is to be mended; 2: the user's mistake; 130: Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
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
        command = words.pop(0) if words and not words[0].startswith("-") else "run"
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
        told = str(interrupt) or "interrupted; what is finished is kept, go on with the same command and --resume"
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
