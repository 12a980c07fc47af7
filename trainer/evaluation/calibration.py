"""Calibration: how far probabilities mean what they say."""

import numpy as np
import numpy.typing as npt

from trainer.running.documents import Document
from trainer.types import Floats, Integers

BINS = 15


class Bin(Document):
    """Images whose top class has about the same confidence: one point of a reliability diagram."""

    radiographs: int
    confidence: float
    """Mean probability of the top class."""
    accuracy: float


def uncalibrated(probabilities: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities N×C without the temperature, which the sealed graph divides its logits by.

    Calibrated log-probabilities are the divided logits, less a constant a row, which softmax forgets.
    """
    from scipy.special import softmax

    smallest = np.finfo(np.float32).smallest_subnormal
    logits = temperature * np.log(np.maximum(probabilities.astype(np.float64), smallest))
    return np.asarray(softmax(logits, axis=1))


def confidence_bins(probabilities: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """N confidences of the top class, and the index of each one's bin, :data:`BINS` of equal width."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    return confidence, np.minimum((confidence * BINS).astype(np.intp), BINS - 1)


def reliability(probabilities: Floats, truth: Integers) -> list[Bin]:
    """The bins that hold any image, least confident first."""
    confidence, bins = confidence_bins(probabilities)
    correct = probabilities.argmax(axis=1) == truth
    return [
        Bin(
            radiographs=int((bins == i).sum()),
            confidence=float(confidence[bins == i].mean()),
            accuracy=float(correct[bins == i].mean()),
        )
        for i in np.unique(bins)
    ]
