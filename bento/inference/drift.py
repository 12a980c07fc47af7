"""Drift: how far the images that come in are from a model's reference, and how far chance alone would take them."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bento.artifact import Manifest, Threshold
from bento.imaging.intake import Intake
from bento.imaging.properties import PROPERTIES, input_properties
from bento.inference.answer import PredictResponse
from bento.inference.input_warnings import InputAssessment
from bento.inference.odds import odds
from bento.inference.session import Prediction

SMOOTHING = 0.5
"""Added to the number of images in each bin, so that an empty one gives a finite index."""
NORMAL_QUANTILES = {"one-sided": 3.719, "two-sided": 3.891}
"""Of the standard normal distribution, exceeded with a probability of 1 in 10,000."""

Floats = npt.NDArray[np.floating]


def figures_of(
    probabilities: Floats, novelty: Floats | None, properties: Floats, classes: list[str], points: Sequence[Threshold]
) -> dict[str, npt.NDArray[np.float64]]:
    """The figures of N images whose distributions are watched, by their names.

    Args:
        probabilities: N×C, in the order of ``classes``.
        novelty: N; None where the model can't tell.
        properties: N×4, see :func:`bento.imaging.properties.input_properties`.
        classes: the model's C classes.
        points: the diseases whose odds are figures.
    """
    scores = {f"score.{one.label}": odds(probabilities, classes, one.label, one.reference) for one in points}
    told = {} if novelty is None else {"novelty": novelty}
    named = scores | told | dict(zip(PROPERTIES, properties.T, strict=True))
    return {name: values.astype(np.float64) for name, values in named.items()}


def observe(
    intake: Intake, prediction: Prediction, assessment: InputAssessment, response: PredictResponse, manifest: Manifest
) -> tuple[dict[str, float], dict[str, bool]]:
    """What a reference's histograms and marks count of one image, as ``response`` and ``assessment`` judge it."""
    figures = figures_of(
        prediction.probabilities,
        prediction.novelty,
        input_properties(intake)[None],
        manifest.classes,
        manifest.thresholds,
    )
    marks = {
        "flagged": any(flag.flagged for flag in response.flags),
        "novel": assessment.in_distribution is False,
        "doubted": bool(assessment.refusal),
    }
    return {name: float(values[0]) for name, values in figures.items()}, marks


def stability_index(reference: Sequence[int], counts: Sequence[int]) -> float:
    """Population stability index of the numbers of images in B bins: 0 where the shares agree.

    Conventional reading: from 0.1 on a change, from 0.2 on a large one, given enough images
    (:func:`index_by_chance`).
    """
    expected, found = (np.asarray(each, float) + SMOOTHING for each in (reference, counts))
    expected, found = expected / expected.sum(), found / found.sum()
    return float(((found - expected) * np.log(found / expected)).sum())


def index_by_chance(bins: int, reference: int, images: int) -> float:
    """What the index of two samples of one population exceeds with a probability of about 1 in 10,000.

    The index over ``1 / reference + 1 / images`` follows a chi-squared distribution with ``bins - 1`` degrees of
    freedom, if the images are independent (Yurdakul & Naranjo 2020); its quantile is that of Wilson & Hilferty (1931).

    Args:
        bins: B.
        reference: images that the reference rests on.
        images: images that are compared with it, at least 1.
    """
    freedom = bins - 1
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + NORMAL_QUANTILES["one-sided"] * math.sqrt(spread)) ** 3
    return quantile * (1 / reference + 1 / images)


def share_by_chance(marked: tuple[int, int], images: tuple[int, int]) -> float:
    """What the difference of two shares exceeds with a probability of about 1 in 10,000, if they are one in truth.

    The normal approximation with the pooled share, one image that is marked and one that is not added.

    Args:
        marked: of the reference's images, and of those that are compared with it.
        images: numbers of both, at least 1.
    """
    pooled = (sum(marked) + 1) / (sum(images) + 2)
    return NORMAL_QUANTILES["two-sided"] * math.sqrt(pooled * (1 - pooled) * (1 / images[0] + 1 / images[1]))
