"""Operating points: a threshold for each disease, chosen on validation images for a wanted sensitivity."""

import math

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval, OperatingPoint, TestMetrics
from bento.inference.odds import odds
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


def least_images(target: float) -> int:
    """How many images of a disease a threshold for this sensitivity needs: with fewer it is just the lowest score."""
    return round(1 / (1 - min(target, 0.95)))


def operating_points(
    validation: JudgedImages, test: JudgedImages, target: float, normal_class: str
) -> tuple[list[OperatingPoint], dict[str, str]]:
    """An operating point for each class but ``normal_class``, and why a class has none.

    Thresholds depend on ``validation`` alone; on ``test`` their effect is measured. They are on the odds of the class
    against ``normal_class``, where the model has that class.
    """
    points, without = [], {}
    reference = normal_class if normal_class in validation.classes else None
    least = least_images(target)
    for i, label in enumerate(validation.classes):
        if label == normal_class:
            continue
        positive = validation.truth == i
        against = validation.truth == validation.classes.index(reference) if reference else ~positive
        positives, negatives = int(positive.sum()), int(against.sum())
        if min(positives, negatives) < least:
            without[label] = (
                f"{positives} validation images of {label} and {negatives} of {reference or 'other classes'}: "
                f"a threshold needs {least} of each"
            )
            continue
        scores = odds(validation.probabilities, validation.classes, label, reference)
        threshold = choose_threshold(scores, positive, target)
        validated, tested = (judge_threshold(images, label, threshold, reference) for images in (validation, test))
        points.append(
            OperatingPoint(
                label=label,
                threshold=threshold,
                reference=reference,
                target_sensitivity=target,
                validation_positives=positives,
                validation_negatives=negatives,
                validation_sensitivity=validated["sensitivity"].value,
                validation_specificity=validated["specificity"].value,
                test_sensitivity=tested.get("sensitivity"),
                test_specificity=tested.get("specificity"),
            )
        )
    return points, without


def judge_threshold(
    judged: JudgedImages, label: str, threshold: float, reference: str | None = None
) -> dict[str, Interval]:
    """``sensitivity`` and ``specificity`` of flagging images whose score for ``label`` reaches ``threshold``.

    The score is :func:`bento.inference.odds.odds`. A rate that the images can't tell, for want of images with or
    without the disease, is left out.
    """
    flagged = odds(judged.probabilities, judged.classes, label, reference) >= threshold
    positive = judged.truth == judged.classes.index(label)
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
