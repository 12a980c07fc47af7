"""The commands: what each does, in a line, and which settings it reads.

A command is a function with ``@_command``; what it needs is imported inside it, so that each loads its own part alone.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from trainer.errors import UserError
from trainer.running.runs import find_run
from trainer.search_settings import SearchSettings
from trainer.settings import (
    CommandSettings,
    DataSettings,
    DoctorSettings,
    EvaluateSettings,
    EvaluationSettings,
    ModelsSettings,
    PredictSettings,
    ReportSettings,
    RobustnessSettings,
    Settings,
    shares_of,
)
from trainer.site_settings import AcceptSettings, CalibrateSettings, SelectSettings


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
SPLIT = {"split", "patient_pattern", "site_by_file"}
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


@_command(Settings, Settings.model_fields.keys() - FETCHED - SPLIT - {"promote"})
def _train(settings: Settings) -> None:
    """train on the split data: Phase A, Phase B, export"""
    from trainer.training.train import train_run

    run = train_run(settings)
    if os.environ.get("RANK", "0") == "0":
        print(f"trained: {run.folder}; watch it with tensorboard --logdir {settings.runs_dir}")


@_command(EvaluateSettings, {*RUN, "dataset", "workers", *EvaluationSettings.model_fields})
def _evaluate(settings: EvaluateSettings) -> None:
    """judge a run on its test split, or a stored model on any folder"""
    from trainer.publishing.evaluate import evaluate_run, evaluate_stored

    if settings.model is None:
        if settings.out is not None:
            raise UserError("evaluate: --out goes with --model; a run's evaluation is written into its own folder")
        print(f"\nreport: {evaluate_run(settings, shares_of(settings.prevalence)).report}")
    else:
        if "dataset" not in settings.model_fields_set or settings.out is None:
            raise UserError("evaluate: --model needs --dataset PATH (a folder of images) and --out DIR")
        prevalence = shares_of(settings.prevalence)
        evaluate_stored(settings.model, settings.dataset, settings.out, settings.workers, prevalence)


@_command(Settings, Settings.model_fields.keys() - {"hold_out_site", "promote", "resume"})
def _matrix(settings: Settings) -> None:
    """fetch, split, then train and evaluate without each site in turn"""
    from trainer.pipeline import run_matrix

    run_matrix(settings)


@_command(
    SearchSettings,
    Settings.model_fields.keys() - {"resume", "promote", "keep_checkpoints", *EvaluationSettings.model_fields},
)
def _search(settings: SearchSettings) -> None:
    """fetch, split, then search for settings of the trained tail (extra: search)"""
    with _if_interrupted("interrupted; finished trials are kept, go on with the same command"):
        try:
            from trainer.search.search import search
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            raise UserError("search: needs Optuna; pip install -e '.[train,search]'") from error
        search(settings)


@_command(RobustnessSettings, {*RUN, "dataset", "workers"})
def _robustness(settings: RobustnessSettings) -> None:
    """what a run or a stored model loses on images of simulated other scanners"""
    from trainer.publishing.evaluate import evaluate_robustness

    if settings.model and "dataset" not in settings.model_fields_set:
        raise UserError("robustness: --model needs --dataset PATH (a folder of images)")
    evaluate_robustness(settings)


@_command(SelectSettings)
def _select(settings: SelectSettings) -> None:
    """propose which images of a site to have labelled, where only a few can be"""
    with _if_interrupted("interrupted; nothing is proposed yet, the same command starts anew"):
        from trainer.sites.selection import select

        select(settings)


@_command(AcceptSettings)
def _accept(settings: AcceptSettings) -> int:
    """test a model before its use at a site; exit code 1: not met, or can't tell"""
    with _if_interrupted("interrupted; a look counts once acceptance.json has it, the same command starts anew"):
        from trainer.sites.accept import accept

        return 0 if accept(settings) in (None, "met") else 1


@_command(Settings, {*RUN, "promote"})
def _publish(settings: Settings) -> None:
    """put a run's model into the BentoML model store; serve it by default unless it is worse"""
    from trainer.publishing.publish import publish

    moved = settings.data_dir if "data_dir" in settings.model_fields_set else None
    print(publish(find_run(settings), moved, settings.promote).told)


@_command(ModelsSettings)
def _models(settings: ModelsSettings) -> None:
    """list the stored models and which one is served by default; promote TAG, delete TAG"""
    from trainer.publishing.stored_models import delete, models_table, promote

    if settings.action == "list":
        if settings.tag is not None or settings.yes:
            raise UserError("models: list takes no tag and no --yes")
        print(models_table())
    elif settings.tag is None:
        raise UserError(f"models: {settings.action} what? python -m trainer models lists the tags")
    elif settings.action == "promote":
        print(f"promoted: {promote(settings.tag)}; bentoml serve takes it from its next start on")
    else:
        print(f"deleted: {delete(settings.tag, lambda tag: settings.yes or _agreed(f'delete {tag}?'))}")


@contextmanager
def _if_interrupted(told: str) -> Iterator[None]:
    """Tell the user what an interrupt means for a command that no ``--resume`` continues."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(told) from None


def _agreed(question: str) -> bool:
    """Ask on the terminal; without one, nobody agrees."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


@_command(ReportSettings)
def _report(settings: ReportSettings) -> None:
    """rebuild the reports of evaluated runs; several runs are compared"""
    from trainer.reporting.report import report_runs

    report_runs(settings.runs_dir, settings.runs)


@_command(PredictSettings)
def _predict(settings: PredictSettings) -> int:
    """classify image files with a stored model; exit code 1 where some can't be read"""
    from trainer.inference.predict import predict

    failed = predict(settings)
    if failed:
        print(f"trainer: {failed:,} of the files can't be read; their lines say why", file=sys.stderr)
    return 1 if failed else 0


@_command(CalibrateSettings)
def _calibrate(settings: CalibrateSettings) -> None:
    """find a hospital's own thresholds on a few of its labelled images; a version of the model with them is stored"""
    with _if_interrupted("interrupted; no calibrated model is stored, the same command starts anew"):
        from trainer.sites.calibrate import calibrate

        print(calibrate(settings))


@_command(DoctorSettings)
def _doctor(settings: DoctorSettings) -> int:
    """what this machine can do and has, which command comes next; exit code 1 where a line, marked !, must be mended"""
    from trainer.doctor import doctor

    return 1 if doctor(settings.data_dir, settings.runs_dir) else 0
