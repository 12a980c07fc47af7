"""A run's folder: where its files are, and its settings."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from pydantic import ValidationError

from bento.artifact import FORMER_NAMES, sha256_file
from trainer.errors import UserError, first_error
from trainer.files import write_text
from trainer.running.documents import TrainingRecord, read_document
from trainer.settings import Settings

ANEW = ("resume", "runs_dir", "keep_checkpoints", "promote", "device", "workers")
"""Settings that are given anew each time a run is continued."""
RESUMABLE = {*ANEW, "run"}
"""Settings that may differ between a run and its continuation."""
GONE = "site_alignment"
"""A setting of former versions; their finished runs are still read."""


@dataclass(frozen=True)
class Run:
    """``runs/<name>/`` and what is in it."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """The settings, as YAML that ``--config`` takes."""
        return self.folder / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """Folder of Ignite's checkpoints."""
        return self.folder / "checkpoints"

    @property
    def sealed(self) -> Path:
        """Folder of the exported model."""
        return self.folder / "model"

    @property
    def training(self) -> Path:
        """What training found out: phases, temperature, data."""
        return self.folder / "training.json"

    @property
    def history(self) -> Path:
        """Losses and macro F1 of each epoch, see :mod:`trainer.running.history`."""
        return self.folder / "history.csv"

    @property
    def metrics(self) -> Path:
        """Test metrics."""
        return self.folder / "metrics.json"

    @property
    def predictions(self) -> Path:
        """A row for each test image."""
        return self.folder / "predictions.csv"

    @property
    def validation_predictions(self) -> Path:
        """The same for the validation images, from which thresholds are chosen."""
        return self.folder / "validation_predictions.csv"

    @property
    def held_out_site_predictions(self) -> Path:
        """The same for the images of the site that was left out, where one was."""
        return self.folder / "held_out_site_predictions.csv"

    @property
    def training_thumbnails(self) -> Path:
        """The training images at 32×32 pixels, in the manifest's order, for the evaluation's controls."""
        return self.folder / "training_thumbnails.npy"

    @property
    def embedding_map(self) -> Path:
        """Where each test image lies in the t-SNE map of the embeddings."""
        return self.folder / "embedding_map.csv"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures that the report shows."""
        return self.folder / "pictures"

    @property
    def report(self) -> Path:
        """The self-contained report."""
        return self.folder / "report.html"

    @property
    def model_card(self) -> Path:
        """The model card."""
        return self.folder / "MODEL_CARD.md"


def start_run(settings: Settings) -> Run:
    """Make the folder of a new run, or find the one to resume.

    Raises:
        UserError: the name is taken, there is nothing to resume, or a setting contradicts the saved ones.
    """
    if settings.resume:
        run = find_run(settings)
        _check_resumable(run, settings)
        return run
    stem = settings.run or f"{datetime.now():%Y%m%d-%H%M%S}-{settings.backbone}"
    for count in itertools.count(1):
        run = Run(settings.runs_dir / (stem if count == 1 else f"{stem}-{count}"))
        try:
            run.folder.mkdir(parents=True)  # by one process alone, however many start in the same second
            break
        except FileExistsError as error:
            if settings.run:
                raise _taken(run) from error
    settings = settings.model_copy(update={"run": run.name})
    try:
        write_text(run.config, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    except OSError:
        shutil.rmtree(run.folder)
        raise
    return run


def refuse_taken_name(settings: Settings) -> None:
    """Refuse a new run whose name is taken, before any work for it.

    Raises:
        UserError: there is such a run.
    """
    if settings.run and not settings.resume and (run := Run(settings.runs_dir / settings.run)).folder.exists():
        raise _taken(run)


def _taken(run: Run) -> UserError:
    return UserError(f"{run.folder}: this run exists; continue it with --resume, or choose another --run")


@contextmanager
def training_alone(run: Run, new: bool) -> Iterator[None]:
    """Have a run to oneself while it trains. A new one that is refused before its first checkpoint leaves no folder.

    Raises:
        UserError: another process trains it.
    """
    path = run.folder / ".lock"
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UserError(f"{run.folder}: another process is training this run; wait for it to end") from error
    try:
        yield
    except (UserError, OSError):
        if new and not any(run.checkpoints.glob("*")):
            shutil.rmtree(run.folder)
        raise
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def find_run(settings: Settings) -> Run:
    """The run named by ``--run``, or the latest one.

    Raises:
        UserError: there is none.
    """
    if settings.run:
        run = Run(settings.runs_dir / settings.run)
        if not run.config.exists():
            raise UserError(
                f"{run.folder}: no such run; see {settings.runs_dir} or start it with python -m trainer train"
            )
        return run
    runs = all_runs(settings.runs_dir)
    if not runs:
        raise UserError(f"{settings.runs_dir}: holds no run; start one with python -m trainer")
    return runs[-1]


def all_runs(runs_dir: Path) -> list[Run]:
    """The runs of a folder, the latest one last."""
    configs = sorted(runs_dir.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
    return [Run(config.parent) for config in configs]


def read_config(path: Path) -> dict[str, Any]:
    """Settings by name from a YAML file in UTF-8 or, as PowerShell writes it, UTF-16; former names are translated.

    Raises:
        UserError: it is not there, or is no YAML mapping.
    """
    try:
        values = yaml.safe_load(path.read_bytes()) or {}
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise UserError(f"{path}: can't be read (not YAML: {' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: can't be read (it must hold a setting a line, as in `seed: 3`)")
    former = FORMER_NAMES["config"]
    return {former.get(str(name), str(name)): value for name, value in values.items()}


def saved_settings(run: Run) -> Settings:
    """The settings that a run was started with.

    Raises:
        UserError: they can't be read.
    """
    values = read_config(run.config)
    values.pop(GONE, None)
    try:
        # Whatever the environment says, since each setting is given.
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{run.config}: can't be read ({': '.join(first_error(error))}); start a new run") from error
    if "workers" not in values:  # the last one: what is missing before it would silently be the default
        raise UserError(f"{run.config}: can't be read (it is cut off); start a new run")
    return settings


def read_training(run: Run) -> TrainingRecord:
    """What training has written down, also that of an earlier version.

    Raises:
        UserError: the run is not trained.
    """
    return read_document(run.training, TrainingRecord, "train")


def changed_file(run: Run) -> Path | None:
    """The first file of a trained run's sealed model that is missing, or is not as training has left it.

    Raises:
        UserError: the run is not trained.
    """
    digests = read_training(run).files
    return next((path for path in map(run.sealed.joinpath, digests) if _digest(path) != digests[path.name]), None)


def _digest(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


def is_trained(run: Run) -> bool:
    """Whether training has ended and its sealed model is as it was then."""
    return run.training.is_file() and changed_file(run) is None


def continued_settings(run: Run, given: Settings) -> Settings:
    """A run's saved settings with what may be another way each time it is continued."""
    own = {name: getattr(given, name) for name in ANEW}
    return saved_settings(run).model_copy(update={**own, "run": run.name})


def _check_resumable(run: Run, given: Settings) -> None:
    saved = saved_settings(run)
    if (former := read_config(run.config).get(GONE)) and not run.training.exists():
        raise UserError(f"{run.folder}: was begun with {GONE} {former}, which there is no more; start a new run")
    for name in sorted(given.model_fields_set - RESUMABLE):
        if not _same(getattr(given, name), getattr(saved, name)):
            raise UserError(
                f"{run.folder}: --resume keeps the run's settings, but {name} is {getattr(given, name)} now and was "
                f"{getattr(saved, name)}; leave it out, or start a new run"
            )


def _same(one: object, other: object) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other
