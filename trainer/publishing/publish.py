"""Publication: the sealed model, with everything that is known of it, goes into the BentoML model store in one step."""

import importlib.metadata
import platform
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from bento.artifact import (
    MANIFEST_FILE,
    ONNX_FILE,
    SEEN_FILE,
    STORE_NAME,
    SYNTHETIC_NOTICE,
    Calibration,
    DataSummary,
    Manifest,
    git_revision,
    sha256_file,
)
from trainer.backbone_names import CHEST_WEIGHTS
from trainer.data.fetch import describe_dataset
from trainer.data.holdout import run_records
from trainer.data.manifest import Record, fingerprint, split_protocol
from trainer.errors import UserError
from trainer.evaluation.summary import read_summary
from trainer.files import write_text
from trainer.publishing.promotion import Verdict, judge_promotion
from trainer.publishing.stored_models import check_servable, serve_by_default, served_tag, store_alone, stored_tags
from trainer.running.runs import Run, changed_file, read_training, saved_settings

PROJECT = Path(__file__).parents[2]
LIBRARIES = ("torch", "torchvision", "pytorch-ignite", "onnx", "onnxruntime", "numpy", "pillow", "bentoml")
SEEN_BY_WEIGHTS = (
    "Its weights began as {}, which were trained on chest radiographs of public datasets (NIH, PadChest, CheXpert, "
    "MIMIC-CXR, OpenI, RSNA): metrics on images from these are too good."
)
LIMITS = [
    "Frontal chest radiographs only. Photographs, other examinations and other parts of the body, and images that are "
    "inverted, on their side or upside down are mostly noticed and marked, but answered for all the same unless the "
    "service is set to refuse them. Mirrored images, lateral chest views, other findings and other kinds of patients "
    "need not be noticed.",
    "It knows the listed classes only: every other finding is forced into one of them.",
    "Metrics hold for images like those of the test set; another hospital, scanner or age group can be far worse.",
]
UNNOTICED = "Frontal chest radiographs only; the model answers for any picture and notices none that is another one."
"""Instead of the first of them, of models of before format 4."""


def build_manifest(run: Run, data_dir: Path | None = None) -> Manifest:
    """Everything that is known of a run's model, from the files that its steps have written.

    Args:
        run: evaluated.
        data_dir: where its data are; None: where they were when it was trained.

    Raises:
        UserError: a step has not run yet, or the data folder holds other data than the run was trained on.
    """
    settings = saved_settings(run)
    settings = settings.model_copy(update={"data_dir": data_dir or settings.data_dir})
    training = read_training(run)
    summary = read_summary(run.folder)
    records = run_records(settings)
    if fingerprint(records) != training.fingerprint:
        raise UserError(
            f"{settings.data_dir}: holds other data or another split than {run.name} was trained on; "
            "split it as before, or train again"
        )
    if changed := changed_file(run):
        raise UserError(f"{changed}: missing or changed since training; train again")
    seen = run.sealed / SEEN_FILE
    if not seen.is_file():
        raise UserError(f"{seen}: missing; evaluate the run again: python -m trainer evaluate --run {run.name}")
    rates, calibration = summary.novelty_rates, summary.calibration
    sealed = datetime.fromtimestamp((run.sealed / ONNX_FILE).stat().st_mtime, UTC)
    return Manifest(
        model_name=settings.backbone,
        model_version=model_version(run),
        created=sealed.replace(microsecond=0),
        classes=training.classes,
        preprocessing=settings.preprocessing,
        temperature=training.temperature,
        metrics=summary.test,
        metrics_by_site=summary.by_site,
        intervals=summary.intervals.test,
        intervals_by_site=summary.intervals.by_site,
        operating_points=summary.operating_points,
        no_threshold=summary.no_threshold,
        calibration=Calibration(before=calibration.before, after=calibration.after),
        novelty=rates.novelty if rates else None,
        orientations=rates.orientations if rates else [],
        reference=summary.reference,
        warnings=summary.warnings,
        data=_data_summary(settings.data_dir, records),
        config=_portable(settings.model_dump(mode="json")),
        libraries={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        git_commit=git_revision(PROJECT).removesuffix("-dirty") or None,
        files=training.files | {SEEN_FILE: sha256_file(seen)},
        limits=[
            *(LIMITS if rates else [UNNOTICED, *LIMITS[1:]]),
            *_held_out_limit(settings.hold_out_site),
            *([SEEN_BY_WEIGHTS.format(settings.weights)] if settings.weights in CHEST_WEIGHTS else []),
        ],
    )


def _held_out_limit(site: str | None) -> list[str]:
    if site is None:
        return []
    return [f"Made to measure transfer: trained and validated without the images of the site {site}."]


def model_version(run: Run) -> str:
    """The version under which a run's model is published: the run's name and the graph's hash."""
    digest = read_training(run).files[ONNX_FILE]
    return f"{run.name.lower()}-{digest[:8]}"


def write_manifest(run: Run, data_dir: Path | None = None) -> None:
    """Write ``manifest.json`` beside the sealed model, which is a whole artifact then; see :func:`build_manifest`."""
    write_text(run.sealed / MANIFEST_FILE, build_manifest(run, data_dir).model_dump_json(indent=2) + "\n")


@dataclass(frozen=True)
class Publication:
    """A model in the store, and whether it is served by default."""

    tag: str
    promoted: bool
    told: str
    """The same in a line or two, with the reason and how to change it."""


def publish(run: Run, data_dir: Path | None = None, promote: bool = False) -> Publication:
    """Put the run's model into the store as ``chest_xray:<version>``; what is there already stays as it is.

    It is served by default from then on if :func:`~trainer.publishing.promotion.judge_promotion` finds nothing
    against it.

    Args:
        run: evaluated.
        data_dir: see :func:`build_manifest`.
        promote: serve it by default, however good it is.

    Raises:
        UserError: a step has not run yet, or the store can't be written.
    """
    manifest = build_manifest(run, data_dir)
    tag = f"{STORE_NAME}:{manifest.model_version}"
    with store_alone():
        served = served_tag()
        if promote:
            verdict = Verdict(True, "as --promote says")
        elif served == tag:
            verdict = Verdict(True, "it is in front already")
        else:
            verdict = judge_promotion(run, data_dir or saved_settings(run).data_dir, manifest, served)
        try:
            if tag in stored_tags():
                check_servable(tag)
            else:
                _store(run, manifest, tag)
        except (OSError, BentoMLException) as error:
            raise UserError(f"the model store can't be written: {error}; see BENTOML_HOME") from error
        finally:
            # BentoML lets what it has just stored be the default one.
            if served is not None and not verdict.promoted and served_tag() != served:
                serve_by_default(served)
        if verdict.promoted:
            serve_by_default(tag)
    return Publication(tag, verdict.promoted, _told(tag, verdict, served))


def _told(tag: str, verdict: Verdict, served: str | None) -> str:
    if verdict.promoted:
        told = f"promoted: {verdict.reason}; bentoml serve takes it from its next start on"
        if served is not None and served != tag:
            told += f", and {served} again after python -m trainer models promote {served}"
    else:
        told = (
            f"stored, not promoted: {verdict.reason}; bentoml serve stays with {served}, "
            f"python -m trainer models promote {tag} changes that"
        )
    return f"published: {tag}\n{told}"


def _store(run: Run, manifest: Manifest, tag: str) -> None:
    labels = {"backbone": manifest.model_name, "dataset": manifest.data.dataset.partition(":")[0]}
    if manifest.data.synthetic:
        labels["notice"] = "synthetic"
    with bentoml.models.create(tag, labels=labels, metadata=_store_metadata(manifest)) as model:
        for name in manifest.files:
            shutil.copyfile(run.sealed / name, model.path_of(name))
        write_text(Path(model.path_of(MANIFEST_FILE)), manifest.model_dump_json(indent=2) + "\n")


def _data_summary(data_dir: Path, records: list[Record]) -> DataSummary:
    dataset = describe_dataset(data_dir)
    counts: dict[str, dict[str, int]] = {}
    for name in ("train", "val", "test"):
        counts[name] = dict(sorted(Counter(record.label for record in records if record.split == name).items()))
    return DataSummary(
        dataset=dataset,
        fingerprint=fingerprint(records),
        split=split_protocol(data_dir),
        counts=counts,
        sites=dict(sorted(Counter(record.site for record in records if record.site).items())),
        synthetic=any(part.startswith("sample:") for part in dataset.split(" + ")),
    )


def _store_metadata(manifest: Manifest) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "model_name": manifest.model_name,
        "classes": manifest.classes,
        "image_size": manifest.preprocessing.image_size,
        "dataset": manifest.data.dataset,
        "test_accuracy": round(manifest.metrics.accuracy, 4),
        "macro_f1": round(manifest.metrics.macro_f1, 4),
        "weighted_f1": round(manifest.metrics.weighted_f1, 4),
        "intended_use": manifest.intended_use,
    }
    if manifest.data.synthetic:
        metadata["notice"] = SYNTHETIC_NOTICE
    return metadata


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Settings without this machine's folders: a manifest travels."""
    names = {"dataset", "data_dir", "runs_dir", "weights"}
    return {key: _last_part(value) if key in names and value else value for key, value in config.items()}


def _last_part(value: str | list[str]) -> str | list[str]:
    return [Path(each).name for each in value] if isinstance(value, list) else Path(value).name
