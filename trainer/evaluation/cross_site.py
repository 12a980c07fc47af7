"""How well a model does on images of another hospital, which may have only some of its classes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval, OperatingPoint
from trainer.evaluation.bootstrap import (
    JudgedImages,
    MetricValues,
    confusion_matrix,
    intervals,
    macro_f1,
    metrics_with_intervals,
    ranking_metrics,
)
from trainer.evaluation.figures import figure_with_interval
from trainer.evaluation.operating_points import judge_threshold
from trainer.evaluation.shares import never_certain, rarer_patients, share_limits
from trainer.running.documents import Document
from trainer.types import Floats

SENSITIVITY = 0.9
"""At which the specificity is reported."""


class AgainstNormal(Document):
    """How well a disease is told from normal images, by its probability as the service answers it."""

    radiographs: tuple[int, int]
    """Number of images of the disease, and of normal ones."""
    roc_auc: Interval
    roc_auc_restricted: Interval
    """By the probability over the classes that the images have: restricted to these and renormalised."""
    specificity: Interval
    """Where the threshold is set on these very images for a sensitivity of :data:`SENSITIVITY`."""
    specificity_restricted: Interval


class PresentClasses(Document):
    """Metrics over the classes that the images have."""

    classes: list[str]
    metrics: dict[str, Interval]
    """Of :func:`~trainer.evaluation.bootstrap.weighted_metrics`, by probabilities restricted to these classes."""
    against_normal: dict[str, AgainstNormal]


class CrossSite(Document):
    """A run's metrics on the sites that it was trained on, and on the one that it was trained without."""

    site: str
    classes: list[str]
    """Those that the run and the site share; on both sides probabilities are restricted to them and renormalised."""
    radiographs: int
    patients: int
    left_out: dict[str, int]
    """The site's images of classes that the run does not know, by class."""
    seen_sites: dict[str, Interval]
    """Metrics of the run's own test images of these classes."""
    held_out_site: PresentClasses
    drop: Interval
    """Macro F1 of the seen sites less that of the held-out site."""
    confusion_matrix: list[list[int]]
    """Counts of the held-out site over ``classes``: rows true, columns predicted."""
    operating_points: dict[str, dict[str, Interval]]
    """Sensitivity and specificity on the held-out site at the run's own thresholds."""


def restrict(judged: JudgedImages, classes: Sequence[str]) -> JudgedImages:
    """The images of ``classes``, with probabilities over these classes alone that sum to 1."""
    columns = [judged.classes.index(name) for name in classes]
    kept = judged.subset(np.isin(judged.truth, columns))
    probabilities = kept.probabilities[:, columns].astype(np.float64)
    # A model that is sure of a class that is not asked for leaves nothing to divide by.
    probabilities = np.maximum(probabilities, np.finfo(np.float64).tiny)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    place = {column: position for position, column in enumerate(columns)}
    truth = np.array([place[column] for column in kept.truth.tolist()], dtype=np.int64)
    return JudgedImages(list(classes), truth, probabilities, kept.patients)


def judge_present(judged: JudgedImages, normal_class: str) -> PresentClasses:
    """Metrics over the classes that ``judged`` has images of, each disease also against ``normal_class`` alone."""
    classes = [name for i, name in enumerate(judged.classes) if (judged.truth == i).any()]
    restricted = restrict(judged, classes)
    diseases = [name for name in classes if name != normal_class and normal_class in classes]
    return PresentClasses(
        classes=classes,
        metrics=metrics_with_intervals(restricted),
        against_normal={name: _against_normal(judged, restricted, name, normal_class) for name in diseases},
    )


def _against_normal(judged: JudgedImages, restricted: JudgedImages, label: str, normal_class: str) -> AgainstNormal:
    counts, metrics = _told_from_normal(judged, label, normal_class)
    _, other = _told_from_normal(restricted, label, normal_class)
    metrics |= {f"{name}_restricted": value for name, value in other.items()}
    return AgainstNormal(radiographs=counts, **metrics)


def _told_from_normal(
    judged: JudgedImages, label: str, normal_class: str
) -> tuple[tuple[int, int], dict[str, Interval]]:
    disease, normal = judged.classes.index(label), judged.classes.index(normal_class)
    images = judged.subset((judged.truth == disease) | (judged.truth == normal))
    scores, positive = images.probabilities[:, disease].astype(np.float64), images.truth == disease

    def metrics(weights: Floats) -> MetricValues:
        auc, _ = ranking_metrics(scores, positive, weights)
        return {"roc_auc": auc, "specificity": specificity_at(scores, positive, weights, SENSITIVITY)}

    size = rarer_patients(positive, images.patients)
    result = {
        name: never_certain(metric, *share_limits(metric.value, size))
        for name, metric in intervals(metrics, images.patients).items()
    }
    return (int(positive.sum()), int((~positive).sum())), result


def specificity_at(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats, sensitivity: float) -> Floats:
    """Specificity at the highest threshold that finds the wanted share of the positive images.

    Args:
        scores: N.
        positive: which of the N images have the disease.
        weights: B×N.
        sensitivity: wanted share, in (0, 1].

    Returns:
        B values, NaN where the weights leave no positive image or no other one.
    """
    order = np.argsort(-scores[positive], kind="stable")
    caught = weights[:, positive][:, order].cumsum(axis=1)
    rising = np.argsort(scores[~positive], kind="stable")
    below = weights[:, ~positive][:, rising].cumsum(axis=1)
    if not order.size or not rising.size:
        return np.full(len(weights), np.nan)
    # The small number covers the rounding error of sums in another order.
    last = np.argmax(caught >= sensitivity * caught[:, -1:] - 1e-9, axis=1)
    threshold = scores[positive][order][last]
    under = np.searchsorted(scores[~positive][rising], threshold, side="left")
    spared = np.where(under > 0, below[np.arange(len(weights)), np.maximum(under - 1, 0)], 0.0)
    known = (caught[:, -1] > 0) & (below[:, -1] > 0)
    return np.asarray(np.where(known, spared / np.where(known, below[:, -1], 1), np.nan))


def judge_cross_site(
    site: str,
    seen: JudgedImages,
    held_out: JudgedImages,
    left_out: dict[str, int],
    points: Sequence[OperatingPoint],
    normal_class: str,
) -> CrossSite:
    """Compare a run's test images of the sites that it was trained on with those of the site that it has never seen.

    Args:
        site: name of the held-out site.
        seen: the run's test images.
        held_out: the site's images of classes that the run knows.
        left_out: number of the site's other images, by class.
        points: the run's thresholds.
        normal_class: the class without disease.
    """
    present = judge_present(held_out, normal_class)
    sides = restrict(seen, present.classes), restrict(held_out, present.classes)
    return CrossSite(
        site=site,
        classes=present.classes,
        radiographs=len(held_out.truth),
        patients=len(set(held_out.patients)),
        left_out=left_out,
        seen_sites=metrics_with_intervals(sides[0]),
        held_out_site=present,
        drop=_drop(*sides),
        confusion_matrix=confusion_matrix(sides[1]),
        operating_points={
            point.label: judge_threshold(held_out, point.label, point.threshold, point.reference)
            for point in points
            if point.label in present.classes
        },
    )


def _drop(seen: JudgedImages, held_out: JudgedImages) -> Interval:
    """Macro F1 of one set of images less that of another, which has no patient in common with it."""
    count = len(seen.truth)

    def difference(weights: Floats) -> MetricValues:
        first, second = (
            macro_f1(side.truth, side.probabilities.argmax(axis=1), len(side.classes), side_weights)
            for side, side_weights in zip((seen, held_out), np.split(weights, [count], axis=1), strict=True)
        )
        return {"drop": first - second}

    # The same patient's name in another hospital may be another person's.
    patients = [f"seen {name}" for name in seen.patients] + [f"held out {name}" for name in held_out.patients]
    return intervals(difference, patients)["drop"]


def present_text(present: PresentClasses, images: int, classes: int) -> str:
    """The metrics over the classes that the images have, for a terminal.

    Args:
        present: of these images.
        images: their number.
        classes: number of the model's classes; where they have all, a restriction to theirs changes nothing.
    """
    restricted = len(present.classes) < classes
    lines = []
    if restricted:
        named = ", ".join(present.classes)
        macro_f1 = figure_with_interval(present.metrics["macro_f1"], images)
        lines = [f"restricted to the classes that these {images:,} images have ({named}): macro F1 {macro_f1}"]
    for name, disease in present.against_normal.items():
        count = min(disease.radiographs)
        text = (
            f"{name} against normal ({disease.radiographs[0]:,} and {disease.radiographs[1]:,} images): "
            f"AUC {figure_with_interval(disease.roc_auc, count)}, specificity at {100 * SENSITIVITY:.0f} % sensitivity "
            f"{figure_with_interval(disease.specificity, count)}"
        )
        if restricted:
            text += (
                f"; restricted {figure_with_interval(disease.roc_auc_restricted, count)}, "
                f"{figure_with_interval(disease.specificity_restricted, count)}"
            )
        lines.append(text)
    return "\n".join(lines)


def cross_site_table(rows: Sequence[CrossSite]) -> str:
    """The cross-site matrix as text: a row per held-out site."""
    width = max(len("left out"), *(len(row.site) for row in rows))
    cell = 23
    diseases = sorted({name for row in rows for name in row.held_out_site.against_normal})
    head = ["seen sites", "held-out site", "drop", *(f"AUC {name}" for name in diseases)]
    lines = [f"{'left out':{width}}  images  " + "  ".join(f"{name:{cell}}" for name in head) + "  classes"]
    for row in rows:
        aucs = [row.held_out_site.against_normal.get(name) for name in diseases]
        metrics = [row.seen_sites["macro_f1"], row.held_out_site.metrics["macro_f1"], row.drop]
        cells = [f"{row.radiographs:6,}", *(f"{figure_with_interval(one, row.radiographs):{cell}}" for one in metrics)]
        for auc in aucs:
            text = "–" if auc is None else figure_with_interval(auc.roc_auc, min(auc.radiographs))
            cells.append(f"{text:{cell}}")
        lines.append("  ".join([f"{row.site:{width}}", *cells, ", ".join(row.classes)]))
    if len(rows) > 1:
        mean = np.mean([row.drop.value for row in rows])
        lines.append(f"mean drop of macro F1 from the seen sites to the held-out site: {mean:.2f}")
    return "\n".join(lines)
