"""Operating points: a threshold for each disease, chosen on validation images for a wanted sensitivity."""

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval, OperatingPoint
from trainer.evaluation.bootstrap import JudgedImages, MetricValues, intervals
from trainer.types import Floats

TUBERCULOSIS = "TUBERCULOSIS"
WHO_SENSITIVITY, WHO_SPECIFICITY = 0.9, 0.7
"""Least sensitivity and specificity in WHO's target product profile of a triage test for tuberculosis (2014)."""


def choose_threshold(scores: Floats, positive: npt.NDArray[np.bool_], sensitivity: float) -> float:
    """The highest threshold that still finds the wanted share of the positive images.

    It lies half-way between the lowest score that it has to catch and the next lower one, so that a rounding error
    in another runtime changes no answer.

    Args:
        scores: N probabilities.
        positive: which of the N images have the disease; at least one.
        sensitivity: wanted share, in (0, 1].
    """
    wanted = np.sort(scores[positive])[::-1]
    # A product such as 0.9 × 10 may come out a hair above the whole number that it is.
    last = float(wanted[int(np.ceil(sensitivity * len(wanted) - 1e-9)) - 1])
    below = scores[scores < last]
    return (last + float(below.max())) / 2 if len(below) else last / 2


def operating_points(
    validation: JudgedImages, test: JudgedImages, target: float, normal_class: str
) -> list[OperatingPoint]:
    """An operating point for each class but ``normal_class``; a class with no or only validation images gets none.

    Thresholds depend on ``validation`` alone; on ``test`` their effect is measured.
    """
    points = []
    for i, label in enumerate(validation.classes):
        positive = validation.truth == i
        if label == normal_class or not positive.any() or positive.all():
            continue
        threshold = choose_threshold(validation.probabilities[:, i], positive, target)
        validated = judge_threshold(validation, label, threshold)
        tested = judge_threshold(test, label, threshold)
        points.append(
            OperatingPoint(
                label=label,
                threshold=threshold,
                target_sensitivity=target,
                validation_sensitivity=validated["sensitivity"].value,
                validation_specificity=validated["specificity"].value,
                test_sensitivity=tested.get("sensitivity"),
                test_specificity=tested.get("specificity"),
            )
        )
    return points


def judge_threshold(judged: JudgedImages, label: str, threshold: float) -> dict[str, Interval]:
    """``sensitivity`` and ``specificity`` of flagging images whose probability of ``label`` reaches ``threshold``.

    Without the one that the images can't tell, for want of images with or without the disease.
    """
    i = judged.classes.index(label)
    flagged, positive = judged.probabilities[:, i] >= threshold, judged.truth == i

    def rates(weights: Floats) -> MetricValues:
        with np.errstate(invalid="ignore"):
            return {
                "sensitivity": weights @ (flagged & positive) / (weights @ positive),
                "specificity": weights @ (~flagged & ~positive) / (weights @ ~positive),
            }

    return intervals(rates, judged.patients)


def meets_who_profile(point: OperatingPoint) -> bool | None:
    """Whether the test sensitivity and specificity reach WHO's profile; None where they can't be told."""
    sensitivity, specificity = point.test_sensitivity, point.test_specificity
    if point.label != TUBERCULOSIS or sensitivity is None or specificity is None:
        return None
    return sensitivity.value >= WHO_SENSITIVITY and specificity.value >= WHO_SPECIFICITY
