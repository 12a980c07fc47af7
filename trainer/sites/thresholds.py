"""A threshold that reaches a wanted sensitivity with a stated confidence, however the scores are distributed.

With n patients who have the disease, the share of all such patients whose score is above the k-th lowest of the n has a
beta distribution with parameters n + 1 - k and k, whatever the scores' own distribution (Wilks 1941). So the threshold
at the k-th lowest score has at least the sensitivity S with the probability that a binomial variable of n draws with
chance 1 - S is at least k: the exact lower limit of Clopper and Pearson, looked at from the other side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import beta, binom

from bento.artifact import Interval
from bento.inference.odds import logit
from trainer.evaluation.shares import TAIL
from trainer.types import Floats

MARGIN = 0.01
"""Of the score's logit, by which a threshold lies below the score that it has to reach: a rounding error in another
runtime changes no answer."""


class Standing(NamedTuple):
    """How much is known of the sensitivity at a threshold: as much as at one of the lowest scores of some patients.

    Neither needs to be a whole number where images are weighed.
    """

    patients: float
    """With the disease, as they come."""
    rank: float
    """Of the score just above the threshold, counted from the lowest of these patients' as 1."""


def patients_needed(target: float, confidence: float) -> int:
    """Least number of patients with the disease for whom any threshold reaches ``target`` with ``confidence``."""
    # A quotient such as log(0.1) / log(0.9) may come out a hair above a whole number.
    return max(1, math.ceil(math.log(1 - confidence) / math.log(target) - 1e-9))


def highest_rank(patients: int, target: float, confidence: float) -> int | None:
    """The highest score, counted from the lowest as 1, whose threshold holds with ``confidence``; None: no score."""
    ranks = np.arange(1, patients + 1)
    holding = ranks[binom.sf(ranks - 1, patients, 1 - target) >= confidence]
    return int(holding[-1]) if len(holding) else None


def reached_confidence(standing: Standing, target: float) -> float:
    """Probability that the sensitivity at a threshold is at least ``target``."""
    patients, rank = standing
    return float(beta(patients + 1 - rank, rank).sf(target))


def sensitivity_at(standing: Standing) -> Interval:
    """Mean and 95 % interval of the true sensitivity at a threshold."""
    patients, rank = standing
    low, high = beta(patients + 1 - rank, rank).ppf([TAIL, 1 - TAIL])
    return Interval(value=(patients + 1 - rank) / (patients + 1), low=float(low), high=float(high))


def lower_limit(standing: Standing, confidence: float) -> float:
    """The sensitivity that a threshold has at least, with ``confidence``."""
    patients, rank = standing
    return float(beta(patients + 1 - rank, rank).ppf(1 - confidence))


def lowest_scores(scores: Floats, patients: Sequence[str]) -> npt.NDArray[np.float64]:
    """The lowest score of each patient, in ascending order: a threshold below it flags all of the patient's images.

    Args:
        scores: N, of images with the disease.
        patients: of the N images.
    """
    lowest: dict[str, float] = {}
    for patient, score in zip(patients, scores.tolist(), strict=True):
        lowest[patient] = min(score, lowest.get(patient, math.inf))
    return np.sort(np.array(list(lowest.values()), dtype=np.float64))


def just_below(score: float) -> float:
    """A threshold that this score reaches, by :data:`MARGIN`."""
    return min(score, float(expit(logit(score) - MARGIN)))
