"""``select``: which images of a site to have labelled, when only a few can be."""

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bento.artifact import Threshold
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake
from bento.inference.input_warnings import GRAVE, assess_input
from bento.inference.odds import odds
from bento.inference.session import Predictor
from trainer.data.dataset_table import read_dataset_table
from trainer.data.duplicates import lookalikes, thumbnail
from trainer.data.folder import Radiograph
from trainer.data.manifest import MANIFEST_FILE
from trainer.data.patients import patient_from_name
from trainer.errors import UserError
from trainer.evaluation.seen_images import find_seen, read_seen_images
from trainer.files import check_writable, write_text
from trainer.inference.image_names import images_in
from trainer.inference.image_stream import each_intake
from trainer.inference.model_store import stored_folder, stored_model
from trainer.running.progress import task
from trainer.site_settings import SelectSettings
from trainer.sites.disease import threshold_of
from trainer.sites.labelled import calibration_images
from trainer.sites.strata import Strata, draw, stratify
from trainer.sites.stratified import STRATUM, WEIGHT
from trainer.tables import csv_text, read_table
from trainer.types import Array, Floats

LEAST_IMAGES = 20
"""Images that a folder must have left: of fewer, all may be labelled."""


@dataclass(frozen=True)
class Candidates:
    """The N images that may be drawn, and why others may not."""

    radiographs: list[Radiograph]
    scores: Floats
    left_out: dict[str, int]
    """Number of images by the reason, which reads on after it."""


def select(settings: SelectSettings) -> None:
    """Write a selection of a folder's images for a person to label, and print what it is.

    Raises:
        UserError: no such model, disease or folder, too few images, or a file in the way that has labels.
    """
    _check_out(settings.out, settings.replace)
    predictor = stored_model(settings.model)
    point = threshold_of(predictor.manifest, settings.disease)
    found = _candidates(settings, predictor, point)
    for reason, images in found.left_out.items():
        print(f"left out: {images:,} {'image' if images == 1 else 'images'} {reason}")
    if len(found.radiographs) < LEAST_IMAGES:
        raise UserError(
            f"{settings.dataset}: {len(found.radiographs)} images are left to choose from; a selection needs "
            f"{LEAST_IMAGES}: give more images, or have all of them labelled"
        )
    strata = stratify(found.scores, point.threshold, settings.n)
    rows = draw(strata, settings.seed)
    names = _stratum_names(len(strata.images), settings.seed)
    write_text(settings.out, _table([found.radiographs[row] for row in rows.tolist()], strata, rows, names))
    print(_summary(settings, predictor, point, found, strata, names))


def _check_out(out: Path, overwrite: bool) -> None:
    """Refuse a file that somebody has filled in, or that is no selection, and a place that can't be written to."""
    check_writable(out.parent)
    if out.is_dir():
        raise UserError(f"--out {out}: a folder; give a file, such as {out / 'selection.csv'}")
    if not out.exists() or overwrite:
        return
    try:
        rows = [row for _, row in read_table(out, required=("path", "label", STRATUM, WEIGHT))]
    except UserError as error:
        raise UserError(f"--out {out}: is there already and no selection; give another name, or --replace") from error
    if labelled := sum(bool(row["label"]) for row in rows):
        raise UserError(f"--out {out}: has {labelled:,} labels already; give another name, or --replace to lose them")


def _candidates(settings: SelectSettings, predictor: Predictor, point: Threshold) -> Candidates:
    """Images that the model can be asked about and has not seen: of each patient and picture one."""
    manifest = predictor.manifest
    radiographs, left_out = _listed(settings.dataset)
    seen = read_seen_images(stored_folder(settings.model), manifest)
    if seen is None:
        print("It can't be checked whether the model was trained on some of these images: it has no list of its own.")
    else:
        known = find_seen(radiographs, seen)
        left_out["that the model was trained or validated on"] = len(known)
        radiographs = [radiograph for radiograph in radiographs if radiograph.path not in known]
    used = calibration_images(settings.model, manifest, radiographs)
    left_out["that the model's thresholds for the site were chosen on"] = len(used)
    radiographs = [radiograph for radiograph in radiographs if radiograph.path not in used]

    def judge(_: Path, taken: Intake) -> tuple[Array, list[str], Array]:
        prediction = predictor.predict(taken.image[None])
        kinds = [warning.kind for warning in assess_input(taken, prediction, manifest).warnings]
        return prediction.probabilities[0], kinds, thumbnail(taken.radiograph)

    kept: list[tuple[Radiograph, Array, Array]] = []
    files = [radiograph.file for radiograph in radiographs]
    each = each_intake(files, manifest.preprocessing, judge, settings.workers)
    reasons = Counter[str]()
    with task("scoring images", len(files)) as advance:
        for radiograph, (_, answer) in zip(radiographs, each, strict=True):
            advance(1)
            if isinstance(answer, ImageError):
                reasons["that can't be read"] += 1
            elif grave := next((kind for kind in answer[1] if kind in GRAVE), None):
                reasons[f"that the model should not be asked about ({grave})"] += 1
            else:
                kept.append((radiograph, answer[0], answer[2]))
    left_out |= reasons
    kept = _one_each(kept, left_out)
    probabilities = np.array([probability for _, probability, _ in kept]).reshape(len(kept), len(manifest.classes))
    scores = odds(probabilities, manifest.classes, point.label, point.reference)
    left_out = {reason: images for reason, images in left_out.items() if images}
    return Candidates([radiograph for radiograph, _, _ in kept], scores, left_out)


def _listed(folder: Path) -> tuple[list[Radiograph], dict[str, int]]:
    """The images of a folder, with what its dataset table says of them where it has one; what the table leaves out."""
    if not folder.is_dir():
        raise UserError(f"--dataset {folder}: {'a file' if folder.exists() else 'no such folder'}; give a folder")
    root = folder.resolve()
    if (root / MANIFEST_FILE).is_file():
        listing = read_dataset_table(root, labelled=False)
        left_out = Counter[str]()
        for item in listing.left_out:
            left_out[item.reason] += item.files
        return listing.radiographs, dict(left_out)
    files = images_in(root, lambda note: print(note.replace(str(root), str(folder), 1)))
    return [Radiograph(file, file.relative_to(root).as_posix(), "") for file in files], {}


def _one_each(
    kept: Sequence[tuple[Radiograph, Array, Array]], left_out: dict[str, int]
) -> list[tuple[Radiograph, Array, Array]]:
    """The first image of each picture, then of each patient; counts the others."""
    if not kept:
        return []
    pictures = lookalikes(np.stack([small for _, _, small in kept]), [image.path for image, _, _ in kept])
    single = [one for one, picture in zip(kept, pictures, strict=True) if not picture or picture == one[0].path]
    left_out["that show the same picture as another one"] = len(kept) - len(single)
    patients: dict[str, tuple[Radiograph, Array, Array]] = {}
    for one in single:
        patient = one[0].patient or patient_from_name(one[0].path) or one[0].path
        patients.setdefault(replace(one[0], patient=patient).person, one)
    left_out["further of a patient, of whom one is enough"] = len(single) - len(patients)
    return list(patients.values())


def _stratum_names(number: int, seed: int) -> list[str]:
    """A letter for each stratum, in a random order: whoever labels the images should not know the model's scores."""
    return [string.ascii_uppercase[place] for place in np.random.default_rng(seed).permutation(number).tolist()]


def _table(drawn: Sequence[Radiograph], strata: Strata, rows: Array, names: Sequence[str]) -> str:
    """The selection as CSV, with the columns that the folder's own table has."""
    others = [name for name in dict.fromkeys(key for one in drawn for key in one.columns) if name not in _OWN]
    known = [name for name in ("site", "patient", "view", "licence") if any(getattr(one, name) for one in drawn)]
    lines = []
    for radiograph, stratum in zip(drawn, strata.numbers[rows].tolist(), strict=True):
        weight = strata.images[stratum] / strata.drawn[stratum]
        lines.append([
            radiograph.path, "", names[stratum], f"{weight:.6g}",
            *(getattr(radiograph, name) for name in known), *(radiograph.columns.get(name, "") for name in others),
        ])  # fmt: skip
    return csv_text(["path", "label", STRATUM, WEIGHT, *known, *others], lines)


_OWN = frozenset(("path", "label", STRATUM, WEIGHT))


def _summary(
    settings: SelectSettings,
    predictor: Predictor,
    point: Threshold,
    found: Candidates,
    strata: Strata,
    names: Sequence[str],
) -> str:
    manifest = predictor.manifest
    against = f"odds against {point.reference}" if point.reference else "probability"
    lines = [
        f"{strata.drawn.sum():,} of {len(found.radiographs):,} images are proposed, for {point.label}: by its score "
        f"({against}), most where the label is in doubt; flagged from {point.threshold:.3f} on",
        f"{'stratum':>8}{'scores':>22}{'images':>8}{'drawn':>7}{'each stands for':>17}",
    ]
    for stratum, name in enumerate(names):
        inside = found.scores[strata.numbers == stratum]
        images, drawn = int(strata.images[stratum]), int(strata.drawn[stratum])
        between = f"{inside.min():.3g} to {inside.max():.3g}"
        lines.append(f"{name:>8}{between:>22}{images:>8,}{drawn:>7,}{images / drawn:>17.1f}")
    lines += [
        f"written: {settings.out}",
        f"next: fill in its column label ({', '.join(manifest.classes)}) without looking at the model's answers; then "
        f"python -m trainer accept (or calibrate) --model {settings.model} --dataset {settings.dataset} "
        f"--labels {settings.out} --out DIR",
    ]
    return "\n".join(lines)
