"""Recalibration of a disease's score at a site: slope and offset of its logit, shrunk towards the score as it is."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, stdtrit

from bento.artifact import Interval, Recalibration, RecalibrationMetrics
from bento.inference.odds import LEAST
from trainer.evaluation.shares import TAIL
from trainer.sites.stratified import Sample, kish_size, stratified_mean
from trainer.types import Floats

SLOPE_SPREAD = 0.5
"""Standard deviation of the prior of the slope's logarithm around 0: a slope of 1 is the model's own."""
OFFSET_SPREAD = 1.0
"""Standard deviation of the prior of the offset around 0. Both were chosen on a site left out of training: see
tests/benchmarks/README.md."""
Booleans = npt.NDArray[np.bool_]


class Fit(NamedTuple):
    """Probability of the disease: the logistic function of ``slope * logit(score) + offset``."""

    slope: float
    offset: float

    def probabilities(self, scores: Floats) -> npt.NDArray[np.float64]:
        """Of N scores in [0, 1]."""
        return np.asarray(expit(self.slope * logits(scores) + self.offset))


IDENTITY = Fit(1.0, 0.0)
"""The score as it is."""


def logits(scores: Floats) -> npt.NDArray[np.float64]:
    """Logit of each score, as :func:`bento.inference.odds.logit` takes it."""
    clipped = np.clip(scores.astype(np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def fit_logit(scores: Floats, positive: Booleans, weights: Floats) -> Fit:
    """Most probable slope and offset, by Newton's method with step halving.

    Platt scaling (1999) of the logit, penalised by normal priors of the slope's logarithm, which so stays above 0 and
    keeps the order of the images, and of the offset.

    Args:
        scores: N in [0, 1].
        positive: which of the N images have the disease.
        weights: N.
    """
    x, y = logits(scores), positive.astype(np.float64)
    at = np.zeros(2)
    loss = _loss(at, x, y, weights)
    for _ in range(100):
        gradient, curvature = _derivatives(at, x, y, weights)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (trial := _loss(at - size * step, x, y, weights)) > loss and size > 1e-8:
            size /= 2
        at, change, loss = at - size * step, loss - trial, trial
        if change < 1e-10:
            break
    return Fit(float(np.exp(at[0])), float(at[1]))


def _loss(at: Floats, x: Floats, y: Floats, weights: Floats) -> float:
    z = np.exp(at[0]) * x + at[1]
    fit = (weights * (np.logaddexp(0, z) - y * z)).sum()
    return float(fit + at[0] ** 2 / (2 * SLOPE_SPREAD**2) + at[1] ** 2 / (2 * OFFSET_SPREAD**2))


def _derivatives(at: Floats, x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Gradient, and the expected curvature (Fisher's), which is positive definite."""
    steep = np.exp(at[0]) * x
    p = expit(steep + at[1])
    design = np.stack([steep, np.ones_like(x)])
    prior = np.array([1 / SLOPE_SPREAD**2, 1 / OFFSET_SPREAD**2])
    gradient = design @ (weights * (p - y)) + prior * at
    return gradient, (design * (weights * p * (1 - p))) @ design.T + np.diag(prior)


def patient_shares(patients: Sequence[str]) -> Floats:
    """Weight of each of N images such that every patient weighs 1."""
    counts = Counter(patients)
    return np.array([1 / counts[patient] for patient in patients])


def recalibrate(
    label: str, scores: Floats, positive: Booleans, sample: Sample, prevalence: float | None
) -> Recalibration:
    """Fit a disease's recalibration and measure what it does, each patient judged by a fit to the others.

    Args:
        label: the disease.
        scores: N in [0, 1].
        positive: which of the N images have the disease; some do and some do not.
        sample: how the N images stand for the site's; weighed ones count for as many as they are worth in all.
        prevalence: where the model is to be used; None: not stated.
    """
    weights, patients = patient_shares(sample.patients), sample.patients
    if sample.weights is not None:
        weights = sample.weights * (kish_size(sample.weights) / sample.weights.sum())
    fit = fit_logit(scores, positive, weights)
    names = np.array(patients, dtype=object)
    apart = np.empty(len(scores))
    for name in set(patients):
        own = names == name
        apart[own] = fit_logit(scores[~own], positive[~own], weights[~own]).probabilities(scores[own])
    before, after = (_losses(chances, positive) for chances in (IDENTITY.probabilities(scores), apart))
    return Recalibration(
        label=label,
        slope=fit.slope,
        offset=fit.offset,
        sample_share=float(weights[positive].sum() / weights.sum()),
        prevalence=prevalence,
        before=_metrics(before, sample),
        after=_metrics(after, sample),
        brier_change=mean_interval(after[1] - before[1], sample),
    )


def _losses(chances: Floats, positive: Booleans) -> tuple[Floats, Floats]:
    """Each image's cross-entropy and squared error."""
    of_truth = np.where(positive, chances, 1 - chances)
    return -np.log(np.maximum(of_truth, LEAST)), (1 - of_truth) ** 2


def _metrics(losses: tuple[Floats, Floats], sample: Sample) -> RecalibrationMetrics:
    cross_entropy, brier = (mean_interval(one, sample) for one in losses)
    return RecalibrationMetrics(cross_entropy=cross_entropy, brier=brier)


def mean_interval(values: Floats, sample: Sample) -> Interval:
    """Mean over patients of N images' values, with a 95 % interval by Student's t; of weighed images over the site."""
    if sample.strata is not None and sample.weights is not None:
        return stratified_mean(values, sample.strata, sample.weights)
    names, owner = np.unique(np.array(sample.patients, dtype=object).astype(str), return_inverse=True)
    means = np.bincount(owner, weights=values) / np.bincount(owner)
    mean = float(means.mean())
    if len(names) < 2:
        return Interval(value=mean, low=mean, high=mean)
    half = float(stdtrit(len(names) - 1, 1 - TAIL) * means.std(ddof=1) / np.sqrt(len(names)))
    return Interval(value=mean, low=mean - half, high=mean + half)
