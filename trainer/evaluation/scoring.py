"""Evaluation by the sealed model itself, through the service's own intake: what is measured is what is served."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bento.artifact import TestMetrics
from bento.imaging.errors import ImageError
from bento.imaging.preprocessing import Preprocessing
from bento.inference.session import Session
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.bootstrap import Judged
from trainer.evaluation.metrics import compute_metrics, metrics_table
from trainer.evaluation.shortcut_controls import occluded, thumbnail
from trainer.files import write_text
from trainer.inference.image_stream import each_image
from trainer.types import Array


@dataclass(frozen=True)
class Evaluation:
    """Predictions of all readable images, and their figures."""

    classes: list[str]
    radiographs: list[Radiograph]
    probabilities: Array
    """``float32`` N×C."""
    embeddings: Array
    """``float32`` N×D, the penultimate layer."""
    thumbnails: Array
    """``uint8`` N×32×32."""
    occluded: Array
    """``float32`` N×2×C: probabilities with the lungs blacked out, and with only them; N×0×C if not asked for."""
    unreadable: dict[str, str]
    """Path to reason, of images that were left out."""
    novelty: Array | None = None
    """``float32`` N; None of models that can't tell."""
    orientations: Array | None = None
    """``float32`` N×5: probability of each of ``ORIENTATIONS``; None of models that can't tell."""

    @cached_property
    def truth(self) -> Array:
        """N class indices."""
        return np.array([self.classes.index(radiograph.label) for radiograph in self.radiographs], dtype=np.int64)

    @property
    def sites(self) -> list[str]:
        """N names, empty where the data do not say."""
        return [radiograph.site for radiograph in self.radiographs]

    @property
    def judged(self) -> Judged:
        """What figures and intervals are made of."""
        patients = [radiograph.patient for radiograph in self.radiographs]
        return Judged(self.classes, self.truth, self.probabilities, patients)

    @property
    def judged_by_site(self) -> dict[str, Judged]:
        """The same for each site, where the data name any."""
        named = np.array(self.sites)
        return {site: self.judged.part(named == site) for site in sorted(set(self.sites) - {""})}

    @property
    def metrics(self) -> TestMetrics:
        """Figures over all images."""
        return compute_metrics(self.truth, self.probabilities, self.classes)

    @property
    def metrics_by_site(self) -> dict[str, TestMetrics]:
        """Figures of each site, where the data name any."""
        return {
            site: compute_metrics(part.truth, part.probabilities, self.classes)
            for site, part in self.judged_by_site.items()
        }


def check_labels(radiographs: Sequence[Radiograph], classes: Sequence[str]) -> None:
    """Refuse images of a class that the model does not have.

    Raises:
        UserError: there is one.
    """
    unknown = sorted({radiograph.label for radiograph in radiographs} - set(classes))
    if unknown:
        raise UserError(f"label {unknown[0]!r} is none of the model's classes ({', '.join(classes)})")


def score_images(
    radiographs: Sequence[Radiograph],
    classes: list[str],
    session: Session,
    spec: Preprocessing,
    workers: int = 0,
    note: Callable[[str], None] = print,
    occlude: bool = False,
) -> Evaluation:
    """Judge every image, with ``occlude`` also with parts of it black; unreadable ones are left out and listed.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """
    check_labels(radiographs, classes)
    kept: list[Radiograph] = []
    rows: list[tuple[Array, ...]] = []
    unreadable: dict[str, str] = {}

    def judge(image: Array) -> tuple[Array, ...]:
        # The whole image by itself: a batch of several can differ in the last bit from what the service answers.
        whole = session.predict(image[None])
        parts = np.empty((0, len(classes)), np.float32)
        if occlude:
            parts = session.predict(np.stack(occluded(image))).probabilities
        found = (whole.probabilities[0], whole.embedding[0], thumbnail(image), parts)
        if whole.novelty is None or whole.orientation is None:
            return found
        return *found, whole.novelty[0], whole.orientation[0]

    results = each_image([radiograph.file for radiograph in radiographs], spec, judge, workers)
    for radiograph, (_, result) in zip(
        radiographs, tqdm(results, total=len(radiographs), desc="evaluate", leave=False), strict=True
    ):
        if isinstance(result, ImageError):
            unreadable[radiograph.path] = str(result)
        else:
            kept.append(radiograph)
            rows.append(result)
    if not kept:
        raise UserError("none of the images can be read")
    if unreadable:
        note(f"{len(unreadable)} unreadable images are left out; metrics.json lists them")
    probabilities, embeddings, thumbnails, parts, *doubts = (np.stack(column) for column in zip(*rows, strict=True))
    return Evaluation(classes, kept, probabilities, embeddings, thumbnails, parts, unreadable, *doubts)


def write_predictions(evaluation: Evaluation, path: Path) -> None:
    """Write a row an image: ``path,label,site,patient,split`` and a probability a class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _predictions_csv(evaluation))


def _predictions_csv(evaluation: Evaluation) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "label", "site", "patient", "split", *evaluation.classes])
    for radiograph, row in zip(evaluation.radiographs, evaluation.probabilities, strict=True):
        writer.writerow(
            [
                radiograph.path,
                radiograph.label,
                radiograph.site,
                radiograph.patient,
                radiograph.split,
                *(f"{value:.8g}" for value in row),
            ]
        )
    return stream.getvalue()


def evaluation_tables(evaluation: Evaluation, title: str, warnings: Sequence[str]) -> str:
    """The figures over all and for each site, as text; where there are warnings, these come first, sites next."""
    overall = [metrics_table(title, evaluation.metrics)]
    within = [metrics_table(f"site {name}", figures) for name, figures in evaluation.metrics_by_site.items()]
    notes = [f"WARNING: {warning}" for warning in warnings]
    return "\n\n".join([*notes, *within, *overall] if notes else [*overall, *within])
