"""The command line: ``python -m trainer [command] [settings]``."""

import argparse
import difflib
import importlib.metadata
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from trainer.errors import UserError, first_error
from trainer.runs import find_run, read_config
from trainer.settings import (
    ENV_PREFIX,
    CommandSettings,
    DoctorSettings,
    EvaluateSettings,
    FetchSettings,
    MatrixSettings,
    PredictSettings,
    PublishSettings,
    ReportSettings,
    RobustnessSettings,
    Settings,
    SplitSettings,
    TrainSettings,
    group_of,
)

PROGRAM = "python -m trainer"
DISTRIBUTION = "chest-xray-service"


def _of_run(settings: CommandSettings) -> Settings:
    """The settings of a run with what was given to a command that reads some of them."""
    given = settings.model_fields_set & Settings.model_fields.keys()
    return Settings.model_construct(given, **{name: getattr(settings, name) for name in given})


def _fetch(settings: FetchSettings) -> None:
    from trainer.data.fetch import fetch

    fetch(_of_run(settings))


def _split(settings: SplitSettings) -> None:
    from trainer.data.split import split

    split(_of_run(settings))


def _train(settings: TrainSettings) -> None:
    from trainer.training.train import train_run

    run = train_run(_of_run(settings))
    if os.environ.get("RANK", "0") == "0":
        print(f"trained: {run.folder}; watch it with tensorboard --logdir {settings.runs_dir}")


def _evaluate(settings: EvaluateSettings) -> None:
    from trainer.evaluate import evaluate_run, evaluate_stored

    if settings.model is None:
        if settings.out is not None:
            raise UserError("evaluate: --out goes with --model; a run's evaluation is written into its own folder")
        evaluate_run(_of_run(settings))
    else:
        if settings.dataset is None or settings.out is None:
            raise UserError("evaluate: --model needs --dataset PATH (a folder of images) and --out DIR")
        evaluate_stored(settings.model, settings.dataset, settings.out, settings.workers)


def _robustness(settings: RobustnessSettings) -> None:
    from trainer.evaluate import evaluate_robustness

    if settings.dataset is None and "model" in settings.model_fields_set:
        raise UserError("robustness: --model needs --dataset PATH (a folder of images)")
    evaluate_robustness(settings)


def _publish(settings: PublishSettings) -> None:
    from trainer.publish import publish

    moved = settings.data_dir if "data_dir" in settings.model_fields_set else None
    tag = publish(find_run(settings), moved)
    print(f"published: {tag}; serve it with bentoml serve")


def _report(settings: ReportSettings) -> None:
    from trainer.reporting.report import report_runs

    report_runs(settings.runs_dir, settings.runs)


def _predict(settings: PredictSettings) -> int:
    from trainer.inference.predict import predict

    failed = predict(settings.files, settings.model, settings.format, settings.workers, settings.out, settings.explain)
    if failed:
        print(f"trainer: {failed:,} of the files can't be read; their lines say why", file=sys.stderr)
    return 1 if failed else 0


def _doctor(settings: DoctorSettings) -> int:
    from trainer.doctor import doctor

    return 1 if doctor(settings.data_dir, settings.runs_dir) else 0


def _everything(settings: Settings) -> None:
    from trainer.pipeline import run_everything

    run_everything(settings)


def _matrix(settings: MatrixSettings) -> None:
    from trainer.pipeline import run_matrix

    run_matrix(_of_run(settings))


COMMANDS: dict[str, tuple[type[CommandSettings], Callable[[Any], int | None], str]] = {
    "run": (Settings, _everything, "fetch, split, train, evaluate and publish, one after another"),
    "fetch": (FetchSettings, _fetch, "copy or link a data set's images into data/raw/<CLASS>/"),
    "split": (SplitSettings, _split, "make data/{train,val,test}/<CLASS>/ and data/manifest.csv"),
    "train": (TrainSettings, _train, "train on the split data: Phase A, Phase B, export"),
    "evaluate": (EvaluateSettings, _evaluate, "judge a run on its test split, or a stored model on any folder"),
    "matrix": (MatrixSettings, _matrix, "fetch, split, then train and evaluate without each site in turn"),
    "robustness": (RobustnessSettings, _robustness, "what a run or a stored model loses on images of other scanners"),
    "publish": (PublishSettings, _publish, "put a run's model into the BentoML model store"),
    "report": (ReportSettings, _report, "rebuild the reports of evaluated runs; several runs are compared"),
    "predict": (
        PredictSettings,
        _predict,
        "classify image files with a stored model; exit code 1 where some can't be read",
    ),
    "doctor": (
        DoctorSettings,
        _doctor,
        "what this machine can do, what is there already, which command comes next; exit code 0, or 1 where a line is "
        "marked with ! and must be mended",
    ),
}


STEPS = ("fetch", "split", "train", "evaluate", "matrix", "publish")
"""Commands that take every flag of a run, so that one list of flags serves all; what they don't read is said."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are the user's, and whose settings stand below the headings of their classes."""

    def __init__(self, settings: type[CommandSettings], command: str, about: str) -> None:
        prog = f"{PROGRAM} {command}"
        # Only full names: an abbreviation would change its meaning with the next setting that is added.
        super().__init__(prog=prog, usage=f"{prog} [settings]", description=about, allow_abbrev=False)
        self.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
        self._settings = settings
        self._headings: dict[str, Any] = {}

    def add_setting(self, *names: str, **options: Any) -> argparse.Action:
        """Add a setting's argument below its heading."""
        if not names[0].startswith("-"):
            self.usage = f"{self.prog} [settings] {options['metavar']}"
            return self.add_argument(*names, **options)
        title = group_of(self._settings, options["dest"])
        if title not in self._headings:
            self._headings[title] = self.add_argument_group(title)
        action: argparse.Action = self._headings[title].add_argument(*names, **options)
        return action

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


S = TypeVar("S", bound=CommandSettings)


def load_settings(cls: type[S], command: str, argv: Sequence[str]) -> S:
    """Settings from flags, environment variables and the YAML file of ``--config``, in this order.

    The environment and the file may hold settings of other commands, too.

    Raises:
        UserError: an unknown setting or a bad value, named as the user gave it.
    """
    parser = _Parser(cls, command, COMMANDS[command][2])
    source = CliSettingsSource[Any](
        cls,
        root_parser=parser,
        add_argument_method=_Parser.add_setting,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )
    parsed = _parse(parser, cls, command, argv)
    every = {name for settings, _, _ in COMMANDS.values() for name in settings.model_fields}
    variables = {name[len(ENV_PREFIX) :].lower(): name for name in os.environ if name.upper().startswith(ENV_PREFIX)}
    for name, variable in variables.items():
        if name not in every:
            meant = _meant(variable, [f"{ENV_PREFIX}{known.upper()}" for known in every])
            raise UserError(f"environment variable {variable}: no such setting{meant}; see {parser.prog} --help")
    config: Path | None = parsed.config
    if config and not config.is_file():
        raise UserError(f"--config {config}: no such file")
    file_values = read_config(config) if config else {}
    for name in file_values.keys() - every:
        raise UserError(f"{config}: {name}: unknown setting{_meant(name, every)}; see {parser.prog} --help")

    class Sourced(cls):  # type: ignore[misc, valid-type]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            own = {name: value for name, value in file_values.items() if name in settings_cls.model_fields}
            return init_settings, env_settings, InitSettingsSource(settings_cls, own)

    flags: dict[str, Any] = {}
    try:
        flags = source(parsed_args=parsed)()
        return Sourced(**flags)
    except ValidationError as error:
        name, message = first_error(error)
        where = _flag(name) if name in flags else variables.get(name) or f"{config}: {name}"
        raise UserError(f"{where}: {message}; see {parser.prog} --help") from error
    except SettingsError as error:
        raise UserError(f"{str(error).splitlines()[0]}; see {parser.prog} --help") from error


def _parse(
    parser: argparse.ArgumentParser, cls: type[CommandSettings], command: str, argv: Sequence[str]
) -> argparse.Namespace:
    unread = sorted(Settings.model_fields.keys() - cls.model_fields.keys()) if command in STEPS else []
    for name in unread:
        parser.add_argument(
            _flag(name), dest=f"unread {name}", nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    parsed, unknown = parser.parse_known_args(argv)
    if unknown:
        meant = _meant(unknown[0].partition("=")[0], map(_flag, cls.model_fields))
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    given = [_flag(name) for name in unread if hasattr(parsed, f"unread {name}")]
    if given:
        print(f"trainer: {command} does not read {', '.join(given)}", file=sys.stderr)
    return parsed


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
        cls, action, _ = COMMANDS[command]
        return action(load_settings(cls, command, words)) or 0
    except UserError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        told = str(interrupt) or "interrupted; what is finished is kept, go on with the same command and --resume"
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
    for name, (_, _, about) in COMMANDS.items():
        print(f"  {name:10} {about}")
    print()
