"""Metrics with 95 % intervals: a bootstrap that resamples patients, all resamples at once.

A resample is a weight for each patient (how often the patient was drawn), so every metric is written once, for B×N
weights of N images; the estimate itself is the metric at weight one. Images of one patient are alike: resampling images
would give intervals that are too narrow.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval
from trainer.evaluation.calibration import confidence_bins
from trainer.evaluation.shares import never_certain, rarer_patients, share_interval, share_limits
from trainer.types import Floats, Integers

RESAMPLES = 2000
LEVEL = 0.95
BLOCK = 4_000_000
"""Numbers in one block of weights: about what fits into a processor's cache."""

SHARES = ("accuracy", "recall", "precision", "f1")
"""Metrics that are shares of images, or follow from one."""

MetricValues = dict[str, Floats]
"""B values of each metric by its name; NaN where a resample can't tell."""


@dataclass(frozen=True)
class JudgedImages:
    """N images with their true classes, and the probabilities that a model gives them."""

    classes: list[str]
    truth: Integers
    """N class indices."""
    probabilities: Floats
    """N×C."""
    patients: Sequence[str]
    """N names."""

    def subset(self, chosen: npt.NDArray[np.bool_]) -> "JudgedImages":
        """The images where ``chosen`` (N) is true."""
        patients = [patient for patient, kept in zip(self.patients, chosen, strict=True) if kept]
        return JudgedImages(self.classes, self.truth[chosen], self.probabilities[chosen], patients)

    def with_probabilities(self, probabilities: Floats) -> "JudgedImages":
        """The same images with other probabilities N×C."""
        return JudgedImages(self.classes, self.truth, probabilities, self.patients)


def metrics_with_intervals(judged: JudgedImages, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """Every metric of :func:`weighted_metrics` that the images can tell: none of an absent class.

    Shares of images have the intervals of :mod:`trainer.evaluation.shares`, other metrics those of a bootstrap, and
    where no resample changes these, which is no certainty, the interval of a share.
    """
    shares = _share_metrics(judged)
    bootstrapped = intervals(lambda weights: weighted_metrics(judged, weights), judged.patients, resamples)
    result = {name: metric for name, metric in bootstrapped.items() if name.partition(".")[0] not in SHARES} | shares
    present = [name for name in judged.classes if f"f1.{name}" in shares]
    counts = [int((judged.truth == judged.classes.index(name)).sum()) for name in present]
    for name, weights in (("macro_f1", np.ones(len(present))), ("weighted_f1", np.array(counts))):
        low, high = (
            float(np.average([getattr(shares[f"f1.{label}"], side) for label in present], weights=weights))
            for side in ("low", "high")
        )
        result[name] = never_certain(result[name], low, high)
    for label in present:
        size = rarer_patients(judged.truth == judged.classes.index(label), judged.patients)
        for name in (f"roc_auc.{label}", f"average_precision.{label}"):
            if name in result:
                result[name] = never_certain(result[name], *share_limits(result[name].value, size))
    return result


def _share_metrics(judged: JudgedImages) -> dict[str, Interval]:
    predicted = judged.probabilities.argmax(axis=1)
    right = predicted == judged.truth
    shares = {"accuracy": share_interval(right, judged.patients)}
    for i, name in enumerate(judged.classes):
        true, called = judged.truth == i, predicted == i
        if not true.any():
            continue
        shares[f"recall.{name}"] = share_interval(right, judged.patients, true)
        if called.any():
            shares[f"precision.{name}"] = share_interval(right, judged.patients, called)
        # F1 is 2 J / (1 + J), where J is the share of right answers among images that have the class or are called it.
        overlap = share_interval(right, judged.patients, true | called).model_dump()
        shares[f"f1.{name}"] = Interval(**{side: 2 * value / (1 + value) for side, value in overlap.items()})
    return shares


def intervals(
    metrics: Callable[[Floats], MetricValues], patients: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """95 % percentile intervals (Efron & Tibshirani 1993) of what ``metrics`` makes of B×N image weights, by its names.

    Args:
        metrics: maps ``float64`` weights B×N to B values of each metric.
        patients: of each of the N images.
        resamples: number of times that the patients are drawn.
        seed: of the drawing.
    """
    estimates = metrics(np.ones((1, len(patients))))
    blocks = [metrics(weights) for weights in patient_weights(patients, resamples, seed)]
    tail = 100 * (1 - LEVEL) / 2
    result = {}
    for name, (value,) in estimates.items():
        values = np.concatenate([block[name] for block in blocks])
        values = values[~np.isnan(values)]
        if not np.isnan(value) and len(values):
            low, high = np.percentile(values, [tail, 100 - tail])
            result[name] = Interval(value=float(value), low=float(low), high=float(high))
    return result


def patient_weights(patients: Sequence[str], resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of B×N image weights, ``resamples`` rows in all; a row is a draw of all patients with replacement."""
    names, owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(owner))
    chances = np.full(len(names), 1 / len(names))
    for start in range(0, resamples, rows):
        drawn = rng.multinomial(len(names), chances, min(rows, resamples - start))
        yield drawn.astype(np.float64)[:, owner]


def weighted_metrics(judged: JudgedImages, weights: Floats) -> MetricValues:
    """All metrics of B weightings of N images.

    Args:
        judged: the images.
        weights: ``float64`` B×N.

    Returns:
        ``accuracy``, ``macro_f1``, ``weighted_f1``, ``cross_entropy``, ``brier``, ``ece``; and per class
        ``precision.<class>``, ``recall.<class>``, ``f1.<class>``, ``roc_auc.<class>``, ``average_precision.<class>``.
        Definitions are scikit-learn's, with 0 for a precision of 0 / 0; macro F1 runs over the classes that occur.
    """
    metrics = _confusion_metrics(judged, weights) | calibration_metrics(judged, weights)
    for i, name in enumerate(judged.classes):
        auc, precision = ranking_metrics(judged.probabilities[:, i], judged.truth == i, weights)
        metrics[f"roc_auc.{name}"] = auc
        metrics[f"average_precision.{name}"] = precision
    return metrics


def calibration_metrics(judged: JudgedImages, weights: Floats) -> MetricValues:
    """``cross_entropy``, ``brier`` and ``ece`` of B weightings B×N of N images."""
    rows = judged.probabilities.astype(np.float64)
    rows = rows / rows.sum(axis=1, keepdims=True)
    total = weights.sum(axis=1)
    of_truth = rows[np.arange(len(rows)), judged.truth]
    target = np.eye(len(judged.classes))[judged.truth]
    confidence, bins = confidence_bins(rows)
    gap = np.zeros((len(rows), bins.max() + 1))
    gap[np.arange(len(rows)), bins] = confidence - (rows.argmax(axis=1) == judged.truth)
    return {
        "cross_entropy": weights @ -np.log(np.clip(of_truth, np.finfo(np.float64).eps, None)) / total,
        "brier": weights @ ((rows - target) ** 2).sum(axis=1) / total,
        "ece": np.abs(weights @ gap).sum(axis=1) / total,
    }


def confusion_matrix(judged: JudgedImages) -> list[list[int]]:
    """Counts of images C×C: rows true, columns predicted."""
    size = len(judged.classes)
    cells = judged.truth * size + judged.probabilities.argmax(axis=1)
    matrix: list[list[int]] = np.bincount(cells, minlength=size * size).reshape(size, size).tolist()
    return matrix


def macro_f1(truth: Integers, predicted: Integers, classes: int, weights: Floats) -> Floats:
    """B values of macro F1 over the classes that occur; ``weights``: B×N."""
    return _f1_parts(truth, predicted, classes, weights)[0]


def _f1_parts(
    truth: Integers, predicted: Integers, classes: int, weights: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Macro F1 (B values); F1, hits, images and predictions of each class (B×C each)."""
    cells = np.eye(classes * classes)[truth * classes + predicted]
    confusion = (weights @ cells).reshape(-1, classes, classes)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, called = confusion.sum(axis=2), confusion.sum(axis=1)
    present = support > 0
    f1 = 2 * hits / np.where(present, support + called, np.nan)
    macro = np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1)
    return macro, f1, hits, support, called


def _confusion_metrics(judged: JudgedImages, weights: Floats) -> MetricValues:
    predicted = judged.probabilities.argmax(axis=1)
    macro, f1, hits, support, called = _f1_parts(judged.truth, predicted, len(judged.classes), weights)
    present = support > 0
    known = np.where(present, support, np.nan)
    precision = np.where(present, hits / np.maximum(called, 1e-12), np.nan)
    metrics: MetricValues = {
        "accuracy": hits.sum(axis=1) / support.sum(axis=1),
        "macro_f1": macro,
        "weighted_f1": np.where(present, f1 * support, 0).sum(axis=1) / support.sum(axis=1),
    }
    for i, name in enumerate(judged.classes):
        metrics[f"precision.{name}"] = precision[:, i]
        metrics[f"recall.{name}"] = (hits / known)[:, i]
        metrics[f"f1.{name}"] = f1[:, i]
    return metrics


def ranking_metrics(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Area under the ROC curve and average precision, B values each; equal scores count as one threshold.

    Args:
        scores: N.
        positive: which of the N images have the class.
        weights: B×N.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    hits = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    misses = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    all_hits, all_misses = hits.sum(axis=1), misses.sum(axis=1)
    true_positives, false_positives = hits.cumsum(axis=1), misses.cumsum(axis=1)
    below = all_misses[:, None] - false_positives + misses / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = (hits * below).sum(axis=1) / (all_hits * all_misses)
        # Before the first drawn image precision is 0 / 0, with no hit to weigh it.
        precision = true_positives / np.maximum(true_positives + false_positives, 1e-12)
        average = (hits * precision).sum(axis=1) / np.where(all_hits > 0, all_hits, np.nan)
    return auc, average


def paired_difference(
    truth: Integers, first: Integers, second: Integers, classes: int, patients: Sequence[str]
) -> Interval:
    """Macro F1 of ``first`` less that of ``second``, two models' predictions of the same images (paired bootstrap)."""

    def difference(weights: Floats) -> MetricValues:
        return {"difference": macro_f1(truth, first, classes, weights) - macro_f1(truth, second, classes, weights)}

    return intervals(difference, patients)["difference"]
