"""Evaluation of the sealed model through the service's own intake, so that what is measured is what is served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from bento.artifact import TestMetrics
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake
from bento.imaging.properties import input_properties
from bento.inference.input_warnings import GRAVE
from trainer.data.duplicates import thumbnail
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.metrics import compute_metrics
from trainer.evaluation.shortcut_controls import occluded
from trainer.files import write_text
from trainer.inference.image_stream import each_intake
from trainer.inference.model_store import SealedModel
from trainer.running.progress import say, task
from trainer.tables import csv_text
from trainer.types import Array

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """What a model says of all readable images."""

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
    properties: Array
    """``float64`` N×4, see :func:`bento.imaging.properties.input_properties`."""
    doubtful: Array
    """N booleans: the picture itself has a grave input warning."""
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
    def judged(self) -> JudgedImages:
        """What metrics and their intervals are made of."""
        patients = [radiograph.person for radiograph in self.radiographs]
        return JudgedImages(self.classes, self.truth, self.probabilities, patients)

    @property
    def judged_by_site(self) -> dict[str, JudgedImages]:
        """The images of each site, where the data name any."""
        sites = np.array(self.sites)
        return {site: self.judged.subset(sites == site) for site in sorted(set(self.sites) - {""})}

    @property
    def metrics(self) -> TestMetrics:
        """Metrics over all images."""
        return compute_metrics(self.truth, self.probabilities, self.classes)

    @property
    def metrics_by_site(self) -> dict[str, TestMetrics]:
        """Metrics within each site, where the data name any."""
        by_site = self.judged_by_site.items()
        return {site: compute_metrics(images.truth, images.probabilities, self.classes) for site, images in by_site}


def judge_each(
    radiographs: Sequence[Radiograph], model: SealedModel, judge: Callable[[Intake], T], title: str
) -> tuple[list[Radiograph], list[T], dict[str, str]]:
    """Apply ``judge`` to each image that can be read, with a progress bar of that title.

    Returns:
        The images that can be read; what ``judge`` made of each; the reason why another one can't, by its path.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """
    unknown = sorted({radiograph.label for radiograph in radiographs} - set(model.classes))
    if unknown:
        raise UserError(f"label {unknown[0]!r} is none of the model's classes ({', '.join(model.classes)})")
    readable: list[Radiograph] = []
    results: list[T] = []
    unreadable: dict[str, str] = {}
    files = [radiograph.file for radiograph in radiographs]
    each = each_intake(files, model.preprocessing, lambda _, taken: judge(taken), model.workers)
    with task(title, len(files)) as advance:
        for radiograph, (_, result) in zip(radiographs, each, strict=True):
            advance(1)
            if isinstance(result, ImageError):
                unreadable[radiograph.path] = str(result)
            else:
                readable.append(radiograph)
                results.append(result)
    if not readable:
        raise UserError("none of the images can be read")
    return readable, results, unreadable


def score_images(
    radiographs: Sequence[Radiograph], model: SealedModel, occlude: bool = False, title: str = "judging images"
) -> Evaluation:
    """Ask the model about every image, with ``occlude`` also with parts of it black; unreadable ones are left out.

    Raises:
        UserError: a label that the model does not know, or nothing readable.
    """

    def judge(taken: Intake) -> tuple[Array, ...]:
        # The whole image by itself: a batch of several can differ in the last bit from what the service answers.
        whole = model.session.predict(taken.image[None])
        parts = np.empty((0, len(model.classes)), np.float32)
        if occlude:
            parts = model.session.predict(np.stack(occluded(taken.image))).probabilities
        grave = np.array(any(warning.kind in GRAVE for warning in taken.warnings))
        seen = (input_properties(taken), grave)
        answer = (whole.probabilities[0], whole.embedding[0], thumbnail(Image.fromarray(taken.image)), parts, *seen)
        if whole.novelty is None or whole.orientation is None:
            return answer
        return *answer, whole.novelty[0], whole.orientation[0]

    readable, answers, unreadable = judge_each(radiographs, model, judge, title)
    if unreadable:
        say(f"{len(unreadable)} unreadable images are left out; metrics.json lists them")
    probabilities, embeddings, thumbnails, parts, *seen = (np.stack(column) for column in zip(*answers, strict=True))
    return Evaluation(model.classes, readable, probabilities, embeddings, thumbnails, parts, unreadable, *seen)


def write_predictions(evaluation: Evaluation, path: Path) -> None:
    """Write a row per image: ``path,label,site,patient,split`` and the probability of each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [image.path, image.label, image.site, image.patient, image.split, *(f"{value:.8g}" for value in probabilities)]
        for image, probabilities in zip(evaluation.radiographs, evaluation.probabilities, strict=True)
    ]
    write_text(path, csv_text(["path", "label", "site", "patient", "split", *evaluation.classes], rows))
