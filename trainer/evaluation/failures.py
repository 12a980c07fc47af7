"""Failure analysis: the images most worth looking at, and pictures of them under their class activation maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bento.artifact import Interval, OperatingPoint
from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from bento.inference.odds import odds
from bento.inference.overlays import overlay
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.data_audit import Pair
from trainer.evaluation.operating_points import TUBERCULOSIS
from trainer.evaluation.shares import share_interval
from trainer.inference.model_store import SealedModel
from trainer.running.documents import Document
from trainer.types import Floats

EACH = 6
"""Images shown for each cell of the confusion matrix."""
MISSED = 24
"""Images shown of a disease that was called normal."""
DOUBTFUL = 12
"""Images shown of those that the model is least certain of, and of likely label errors."""
PICTURE = 320
"""Side of an image in a picture, in pixels."""


class Case(Document):
    """One image to look at."""

    path: str
    label: str
    predicted: str
    site: str
    probabilities: dict[str, float]
    picture: str = ""
    """File name of image and overlay in the run's folder ``pictures``."""


class Cell(Document):
    """One cell of the confusion matrix off the diagonal, with its most confident errors."""

    label: str
    predicted: str
    radiographs: int
    cases: list[Case]


class Missed(Document):
    """The images of a disease that are called normal: the error that matters most in screening."""

    label: str
    normal: str
    radiographs: int
    of: int
    rate: Interval
    """Share of the disease's images, with its interval by patient."""
    flagged: int | None
    """How many of the missed images the class's operating point flags all the same; None without one."""
    by_site: dict[str, tuple[int, int]]
    """Number of missed images, and of all images of the disease."""
    cases: list[Case]


class Failures(Document):
    """The failures that the report shows."""

    missed: list[Missed]
    cells: list[Cell]
    least_certain: list[Case]
    likely_label_errors: list[Case]

    @property
    def cases(self) -> list[Case]:
        """All images to draw; some occur more than once."""
        groups = [*(missed.cases for missed in self.missed), *(cell.cases for cell in self.cells)]
        return [case for group in [*groups, self.least_certain, self.likely_label_errors] for case in group]


def find_failures(
    judged: JudgedImages,
    paths: Sequence[str],
    sites: Sequence[str],
    points: Sequence[OperatingPoint],
    normal_class: str,
) -> Failures:
    """Choose the images to show.

    Args:
        judged: N test images.
        paths: of the N images.
        sites: of the N images.
        points: the model's operating points.
        normal_class: name of the class without disease; a model may have none.
    """
    classes, probabilities, truth = judged.classes, judged.probabilities, judged.truth
    predicted = probabilities.argmax(axis=1)

    def cases(rows: npt.NDArray[np.intp], most: int) -> list[Case]:
        return [
            Case(
                path=paths[i],
                label=classes[truth[i]],
                predicted=classes[predicted[i]],
                site=sites[i],
                probabilities={name: round(float(p), 4) for name, p in zip(classes, probabilities[i], strict=True)},
            )
            for i in rows[:most].tolist()
        ]

    def by_confidence(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        return rows[np.argsort(-probabilities[rows, predicted[rows]], kind="stable")]

    cells = []
    missed = []
    by_class = {point.label: point for point in points}
    for i, label in enumerate(classes):
        for j, other in enumerate(classes):
            rows = by_confidence(np.flatnonzero((truth == i) & (predicted == j)))
            if i == j or not len(rows):
                continue
            cells.append(Cell(label=label, predicted=other, radiographs=len(rows), cases=cases(rows, EACH)))
        if label != normal_class and normal_class in classes and (truth == i).any():
            j = classes.index(normal_class)
            rows = by_confidence(np.flatnonzero((truth == i) & (predicted == j)))
            missed.append(_missed(judged, i, j, sites, by_class.get(label), cases(rows, MISSED)))
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    least = np.argsort(top_two[:, 1] - top_two[:, 0], kind="stable")
    return Failures(
        # Tuberculosis first: a missed patient goes on infecting others.
        missed=sorted(missed, key=lambda missed: missed.label != TUBERCULOSIS),
        cells=cells,
        least_certain=cases(least, DOUBTFUL),
        likely_label_errors=cases(likely_label_errors(probabilities, truth), DOUBTFUL),
    )


def _missed(
    judged: JudgedImages,
    label: int,
    normal: int,
    sites: Sequence[str],
    point: OperatingPoint | None,
    cases: list[Case],
) -> Missed:
    ill = judged.truth == label
    lost = ill & (judged.probabilities.argmax(axis=1) == normal)
    named, flagged = np.array(sites), np.zeros(len(lost), bool)
    if point:
        flagged = odds(judged.probabilities, judged.classes, point.label, point.reference) >= point.threshold
    return Missed(
        label=judged.classes[label],
        normal=judged.classes[normal],
        radiographs=int(lost.sum()),
        of=int(ill.sum()),
        rate=share_interval(lost, judged.patients, ill),
        flagged=int((flagged & lost).sum()) if point else None,
        by_site={
            str(site): (int((lost & (named == site)).sum()), int((ill & (named == site)).sum()))
            for site in sorted(set(named[ill].tolist()) - {""})
        },
        cases=cases,
    )


def likely_label_errors(probabilities: Floats, truth: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Indices of images whose label is likely wrong, likeliest first, by confident learning (Northcutt et al. 2021).

    An image is suspected where the model, which was not trained on it, is as sure of another class as it is on average
    of the images with that class's label; the least probable label comes first.

    Args:
        probabilities: N×C.
        truth: N class indices.
    """
    classes = probabilities.shape[1]
    usual = np.array([probabilities[truth == i, i].mean() if (truth == i).any() else np.inf for i in range(classes)])
    sure = np.where(probabilities >= usual, probabilities, -1)
    sure[np.arange(len(truth)), truth] = -1
    suspected = np.flatnonzero((sure.max(axis=1) >= 0) & (probabilities.argmax(axis=1) != truth))
    of_label = probabilities[suspected, truth[suspected]]
    return suspected[np.argsort(of_label, kind="stable")]


def draw_cases(cases: Sequence[Case], files: dict[str, Path], model: SealedModel, folder: Path) -> None:
    """Write a picture of each image beside its overlay for the predicted class, and name it in the case.

    Args:
        cases: images; some may occur more than once.
        files: the file of each case's path.
        model: that draws the maps.
        folder: of the pictures; made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    for case in cases:
        if case.path not in names:
            names[case.path] = f"{len(names):03d}.jpg"
            image = load_array(files[case.path], model.preprocessing)
            cam = model.session.predict(image[None]).cam[0, model.classes.index(case.predicted)]
            image_and_overlay(image, cam).save(folder / names[case.path], quality=80)
        case.picture = names[case.path]


def image_and_overlay(image: npt.NDArray[np.uint8], cam: npt.NDArray[np.float32]) -> Image.Image:
    """The image S×S beside itself under its map h×w, which is the brighter the more speaks for the class."""
    radiograph = Image.fromarray(image).resize((PICTURE, PICTURE), Image.Resampling.BILINEAR)
    sheet = Image.new("RGB", (2 * PICTURE, PICTURE))
    sheet.paste(radiograph.convert("RGB"), (0, 0))
    sheet.paste(overlay(radiograph, cam), (PICTURE, 0))
    return sheet


def draw_pairs(pairs: Sequence[Pair], files: dict[str, Path], spec: Preprocessing, folder: Path) -> None:
    """Write a picture of each pair of duplicates side by side, and name it in the pair."""
    for number, pair in enumerate(pairs):
        pair.picture = f"pair-{number:03d}.jpg"
        sheet = Image.new("L", (2 * PICTURE, PICTURE))
        for place, path in enumerate((pair.first, pair.second)):
            radiograph = Image.fromarray(load_array(files[path], spec))
            sheet.paste(radiograph.resize((PICTURE, PICTURE), Image.Resampling.BILINEAR), (place * PICTURE, 0))
        sheet.save(folder / pair.picture, quality=80)
