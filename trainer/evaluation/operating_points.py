"""Operating points: a threshold for each disease, chosen on validation images for a wanted sensitivity."""

import math

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval, OperatingPoint, TestMetrics
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.shares import share_interval, size_of, size_to_tell
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
    sides = {"sensitivity": (flagged, positive), "specificity": (~flagged, ~positive)}
    return {name: share_interval(right, judged.patients, of) for name, (right, of) in sides.items() if of.any()}


def who_verdict(point: OperatingPoint, metrics: TestMetrics) -> str | None:
    """Whether the test sensitivity and specificity reach WHO's profile, by their intervals.

    ``yes`` only where both lower limits do, ``no`` only where an upper limit does not, else that these images can't
    tell, and about how many would; None for other diseases and where the images have none of the disease or nothing
    else.
    """
    sensitivity, specificity = point.test_sensitivity, point.test_specificity
    if point.label != TUBERCULOSIS or sensitivity is None or specificity is None:
        return None
    if sensitivity.low >= WHO_SENSITIVITY and specificity.low >= WHO_SPECIFICITY:
        return "yes"
    if sensitivity.high < WHO_SENSITIVITY or specificity.high < WHO_SPECIFICITY:
        return "no"
    with_disease = metrics.per_class[point.label].support
    without = metrics.images - with_disease
    told = f"can't tell with {with_disease} images with the disease and {without} without it"
    wanted = [
        _images_to_tell(sensitivity, WHO_SENSITIVITY, with_disease),
        _images_to_tell(specificity, WHO_SPECIFICITY, without),
    ]
    if None in wanted:
        return f"{told}, nor with more, at these shares"
    return f"{told}; at these shares it would take about {wanted[0]:,} and {wanted[1]:,}"


def _images_to_tell(rate: Interval, target: float, images: int) -> int | None:
    """About how many images would tell whether ``rate``, if it stays as it is, reaches ``target``; None: no number."""
    if not rate.low < target <= rate.high:
        return images
    size = size_to_tell(rate.value, target)
    return None if size is None else math.ceil(images * max(1, size / size_of(rate)))
