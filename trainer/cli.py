"""The command line: ``python -m trainer [command] [settings]``."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from trainer.errors import UserError
from trainer.settings import ENV_PREFIX, Settings

DEFAULT_MODEL = "chest_xray:latest"


class EvaluateSettings(Settings):
    """Settings of ``evaluate``: a run on its test split, or with --model a stored model on any folder."""

    model: str | None = None
    """Stored model to judge on --dataset PATH, e.g. chest_xray:latest; without it, the run on its test split."""
    out: Path | None = None
    """With --model: folder for metrics.json and predictions.csv."""


class PredictSettings(BaseSettings):
    """Settings of ``predict``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True)

    files: CliPositionalArg[list[Path]] = Field(min_length=1)
    """Images, or folders of images; `-`: file names from standard input, one a line."""
    model: str = DEFAULT_MODEL
    """Stored model."""
    format: Literal["table", "csv", "json"] = "table"
    """Form of the output; csv has every class's probability, json is an object a line: the service's answer to /predict, and the file."""  # noqa: E501
    out: Path | None = None
    """File for the answers (csv or json) instead of standard output; files that it has already are skipped, so that an interrupted command goes on."""  # noqa: E501
    explain: Path | None = None
    """Folder for a PNG an image: the image under the heat map of its top class."""
    workers: int = Field(default=0, ge=0)
    """Threads; 0: one more than there are cores."""


class DoctorSettings(BaseSettings):
    """Settings of ``doctor``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True)

    data_dir: Path = Path("data")
    """Folder of the data set."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""


class ReportSettings(BaseSettings):
    """Settings of ``report``."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True)

    runs: CliPositionalArg[list[str]] = Field(min_length=1)
    """Names of evaluated runs; several are compared, each with the others."""
    runs_dir: Path = Path("runs")
    """Folder of the runs."""


def _fetch(settings: Settings) -> None:
    from trainer.data.fetch import fetch

    fetch(settings)


def _split(settings: Settings) -> None:
    from trainer.data.split import split

    split(settings)


def _train(settings: Settings) -> None:
    from trainer.training.train import train_run

    run = train_run(settings)
    if os.environ.get("RANK", "0") == "0":
        print(f"trained: {run.folder}; watch it with tensorboard --logdir {settings.runs_dir}")


def _evaluate(settings: EvaluateSettings) -> None:
    from trainer.evaluate import evaluate_run, evaluate_stored

    if settings.model is None:
        if settings.out is not None:
            raise UserError("evaluate: --out goes with --model; a run's evaluation is written into its own folder")
        evaluate_run(settings)
    else:
        if "dataset" not in settings.model_fields_set or settings.out is None:
            raise UserError("evaluate: --model needs --dataset PATH (a folder of images) and --out DIR")
        evaluate_stored(settings.model, settings.dataset, settings.out, settings.workers)


def _publish(settings: Settings) -> None:
    from trainer.publish import publish
    from trainer.runs import find_run

    tag = publish(find_run(settings))
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


def _matrix(settings: Settings) -> None:
    from trainer.pipeline import run_matrix

    run_matrix(settings)


COMMANDS: dict[str, tuple[type[BaseSettings], Callable[[Any], int | None], str]] = {
    "run": (Settings, _everything, "fetch, split, train, evaluate and publish, one after another"),
    "fetch": (Settings, _fetch, "copy or link a data set's images into data/raw/<CLASS>/"),
    "split": (Settings, _split, "make data/{train,val,test}/<CLASS>/ and data/manifest.csv"),
    "train": (Settings, _train, "train on the split data: Phase A, Phase B, export"),
    "evaluate": (
        EvaluateSettings,
        _evaluate,
        "judge a run on its test split, or a stored model on any folder",
    ),
    "matrix": (Settings, _matrix, "fetch, split, then train and evaluate without each source in turn"),
    "publish": (Settings, _publish, "put a run's model into the BentoML model store"),
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


S = TypeVar("S", bound=BaseSettings)


def load_settings(cls: type[S], command: str, about: str, argv: Sequence[str]) -> S:
    """Settings from flags, environment variables and the YAML file of ``--config``, in this order.

    Raises:
        UserError: an unknown setting or a bad value, named.
    """
    # Only full names: an abbreviation would change its meaning with the next setting that is added.
    parser = _Parser(prog=f"python -m trainer {command}", description=about, allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    config: Path | None = early.parse_known_args(argv)[0].config
    if config is not None and not config.is_file():
        raise UserError(f"--config {config}: no such file")
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX) and name[len(ENV_PREFIX) :].lower() not in _all_settings():
            raise UserError(f"environment variable {name}: no such setting; see {parser.prog} --help")

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
            yaml = YamlConfigSettingsSource(settings_cls, yaml_file=config)
            return (init_settings, env_settings, yaml) if config else (init_settings, env_settings)

    try:
        flags = CliSettingsSource[Any](
            Sourced,
            root_parser=parser,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_hide_none_type=True,
            cli_avoid_json=True,
        )
        values = flags(args=list(argv))()
        settings = Sourced(**values)
    except ValidationError as error:
        raise UserError(f"{_first_line(error)}; see {parser.prog} --help") from error
    except SettingsError as error:
        raise UserError(f"{str(error).splitlines()[0]}; see {parser.prog} --help") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise UserError(f"--config {config}: not YAML: {' '.join(str(error).split())}") from error
        raise
    return settings


def _all_settings() -> set[str]:
    return {name for cls, _, _ in COMMANDS.values() for name in cls.model_fields}


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"{name}: unknown setting"
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}: {message} (given {first['input']!r})" if name else message


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1: some files failed, or something is to be mended; 2: the user's mistake; 130: Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] in (["-h"], ["--help"]):
            _print_commands()
            words[0:0] = ["run"]
        command = words.pop(0) if words and not words[0].startswith("-") else "run"
        if command not in COMMANDS:
            raise UserError(f"unknown command {command!r}; choose from {', '.join(COMMANDS)}")
        cls, action, about = COMMANDS[command]
        return action(load_settings(cls, command, about, words)) or 0
    except UserError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        told = str(interrupt) or ("interrupted; what is finished is kept, go on with the same command and --resume")
        print(f"\ntrainer: {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"trainer: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _print_commands() -> None:
    print("usage: python -m trainer [command] [settings]\n\ncommands (default: run):")
    for name, (_, _, about) in COMMANDS.items():
        print(f"  {name:9} {about}")
    print()
