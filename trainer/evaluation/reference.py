"""What a model's service is to measure drift against: distributions over images that it was not fitted to."""

from collections.abc import Sequence

import numpy as np

from bento.artifact import ORIENTATIONS, NoveltyFit, OrientationPoint, ReferenceDistributions, Threshold
from bento.artifact.reference import describe_images
from bento.inference.drift import figures_of
from trainer.evaluation.scoring import Evaluation


def reference_of(
    evaluation: Evaluation,
    points: Sequence[Threshold],
    novelty: NoveltyFit | None,
    orientations: list[OrientationPoint],
) -> ReferenceDistributions:
    """The distributions of the images of ``evaluation``, counted as the service counts those that it is sent.

    Args:
        evaluation: a run's validation images, or a site's own.
        points: thresholds of the diseases' odds; an image is flagged where one is reached.
        novelty: None where the model can't tell.
        orientations: thresholds above which an image counts as shown wrongly.
    """
    told = evaluation.novelty if novelty is not None else None
    figures = figures_of(evaluation.probabilities, told, evaluation.properties, evaluation.classes, points)
    marks = {"flagged": np.zeros(len(evaluation.radiographs), bool), "doubted": evaluation.doubtful}
    for point in points:
        marks["flagged"] |= figures[f"score.{point.label}"] >= point.threshold
    if novelty is not None and told is not None:
        marks["novel"] = told.astype(float) > novelty.threshold
        marks["doubted"] = marks["doubted"] | marks["novel"]
    if evaluation.orientations is not None:
        for orientation in orientations:
            probability = evaluation.orientations[:, ORIENTATIONS.index(orientation.kind)]
            marks["doubted"] = marks["doubted"] | (probability.astype(float) >= orientation.threshold)
    return describe_images(figures, marks)
