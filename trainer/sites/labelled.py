"""A site's labelled images: a folder as every command takes it, or a filled-in selection of its images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bento.artifact import SITE_IMAGES_FILE, Manifest
from trainer.data.datasets import named_datasets, open_datasets
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.seen_images import SeenImages, find_seen, leave_out_seen, read_seen_images
from trainer.inference.model_store import stored_folder
from trainer.sites.stratified import STRATUM, WEIGHT, images_by_stratum
from trainer.tables import read_table


@dataclass(frozen=True)
class LabelledImages:
    """Images of a site that the model was neither made nor calibrated with."""

    radiographs: list[Radiograph]
    stratum_images: dict[str, float]
    """See :func:`trainer.sites.stratified.drawn_sample`."""
    seen: SeenImages
    calibrated: int = 0
    """Images that were left out, since the model's thresholds for the site were chosen on them."""


def open_labelled(tag: str, manifest: Manifest, dataset: Sequence[str], labels: Path | None) -> LabelledImages:
    """List a site's labelled images without those that a model was made or calibrated with; print what is left out.

    Args:
        tag: of the model.
        manifest: of the model.
        dataset: folders, as for ``--dataset``.
        labels: a filled-in selection of the images of the one folder (``path,label``, and ``stratum,weight`` where
            they were drawn by stratum); None: the folder says the labels itself.

    Raises:
        UserError: no such folder or file, labels that can't be used or are all of one class, or all images were seen.
    """
    radiographs, stratum_images = list_labelled(dataset, labels)
    known, seen = leave_out_seen(radiographs, read_seen_images(stored_folder(tag), manifest))
    print(seen.sentence)
    used = calibration_images(tag, manifest, known)
    if used:
        print(f"{len(used):,} images were left out, since the model's thresholds for the site were chosen on them.")
    rest = [radiograph for radiograph in known if radiograph.path not in used]
    if used and len({radiograph.label for radiograph in rest}) < 2:
        raise UserError(
            f"the thresholds were chosen on {len(used):,} of these {len(known):,} images, and too few others are left: "
            "nothing to test them with; give other images of the site"
        )
    return LabelledImages(rest, stratum_images, seen, len(used))


def list_labelled(
    dataset: Sequence[str], labels: Path | None, patient_pattern: str | None = None
) -> tuple[list[Radiograph], dict[str, float]]:
    """List a site's labelled images, and the images of the folder that each stratum stands for.

    Args:
        dataset: folders, as for ``--dataset``.
        labels: see :func:`open_labelled`.
        patient_pattern: see :func:`trainer.data.datasets.open_datasets`.

    Returns:
        The images, and what :func:`trainer.sites.stratified.images_by_stratum` says of their table.

    Raises:
        UserError: no such folder or file, or labels that can't be used.
    """
    if labels is None:
        radiographs = open_datasets(dataset, patient_pattern)
        rows = [(image.path, image.columns.get(STRATUM, ""), image.columns.get(WEIGHT, "")) for image in radiographs]
    else:
        if len(named_datasets(dataset)) > 1:
            raise UserError("--labels: a selection of one folder; give --dataset once")
        radiographs = open_datasets(dataset, patient_pattern, labels)
        table = read_table(labels, required=())
        rows = [(f"{labels} line {line}", row.get(STRATUM, ""), row.get(WEIGHT, "")) for line, row in table]
    return radiographs, images_by_stratum(rows)


def calibration_images(tag: str, manifest: Manifest, radiographs: Sequence[Radiograph]) -> set[str]:
    """Paths of those images that a model's thresholds for a site were chosen on."""
    listed = read_seen_images(stored_folder(tag), manifest, SITE_IMAGES_FILE)
    return set() if listed is None else set(find_seen(radiographs, listed))
