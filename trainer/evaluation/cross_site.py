"""How much of a model's figures is left on images of another hospital, which may have some of its classes only."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from bento.artifact import Interval, OperatingPoint
from trainer.evaluation.bootstrap import (
    Figures,
    Judged,
    intervals,
    macro_f1,
    metrics_with_intervals,
    ranking_metrics,
)
from trainer.evaluation.operating_points import judge_threshold
from trainer.types import Floats

SENSITIVITY = 0.9


class AgainstNormal(BaseModel):
    """A disease told from normal images, nothing else among them; by its probability as the service answers it."""

    radiographs: tuple[int, int]
    """Of the disease, normal ones."""
    roc_auc: Interval
    roc_auc_restricted: Interval
    """By the probability restricted to the classes that the images have, and renormalised."""
    specificity: Interval
    """Where the threshold is set on these very images for a sensitivity of :data:`SENSITIVITY`."""
    specificity_restricted: Interval


class Present(BaseModel):
    """Figures over the classes that the images have."""

    classes: list[str]
    figures: dict[str, Interval]
    """As :func:`~trainer.evaluation.bootstrap.weighted_metrics`, of probabilities restricted to these classes, renormalised."""
    against_normal: dict[str, AgainstNormal]


class Transfer(BaseModel):
    """A run beside the images of the site that it was trained without."""

    site: str
    classes: list[str]
    """That the run and the site share; probabilities are restricted to them and renormalised, here and there."""
    radiographs: int
    patients: int
    left_out: dict[str, int]
    """Images of the site by class, where the run does not know the class."""
    in_site: dict[str, Interval]
    """Of the run's own test images of these classes."""
    held_out_site: Present
    drop: Interval
    """Macro F1 in site less that out of site."""
    confusion_matrix: list[list[int]]
    """Out of site: rows true, columns predicted, over ``classes``."""
    operating_points: dict[str, dict[str, Interval]]
    """Sensitivity and specificity out of site at the run's own thresholds, by the unrestricted probability."""


def restrict(judged: Judged, classes: Sequence[str]) -> Judged:
    """The images of these classes, their probabilities over these classes alone, summing to 1."""
    columns = [judged.classes.index(name) for name in classes]
    kept = judged.part(np.isin(judged.truth, columns))
    probabilities = kept.probabilities[:, columns].astype(np.float64)
    # A model that is sure of a class that is not asked for leaves nothing to divide by.
    probabilities = np.maximum(probabilities, np.finfo(np.float64).tiny)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    place = {column: position for position, column in enumerate(columns)}
    truth = np.array([place[one] for one in kept.truth.tolist()], dtype=np.int64)
    return Judged(list(classes), truth, probabilities, kept.patients)


def judge_present(judged: Judged, normal_class: str) -> Present:
    """Figures over the classes that ``judged`` has images of."""
    classes = [name for i, name in enumerate(judged.classes) if (judged.truth == i).any()]
    found = restrict(judged, classes)
    diseases = [name for name in classes if name != normal_class and normal_class in classes]
    return Present(
        classes=classes,
        figures=metrics_with_intervals(found),
        against_normal={name: _against_normal(judged, found, name, normal_class) for name in diseases},
    )


def _against_normal(judged: Judged, restricted: Judged, label: str, normal_class: str) -> AgainstNormal:
    found: dict[str, Interval] = {}
    radiographs = (0, 0)
    for suffix, one in (("", judged), ("_restricted", restricted)):
        ill, well = one.classes.index(label), one.classes.index(normal_class)
        part = one.part((one.truth == ill) | (one.truth == well))
        scores, positive = part.probabilities[:, ill].astype(np.float64), part.truth == ill
        radiographs = (int(positive.sum()), int((~positive).sum()))

        def figures(weights: Floats, scores: Floats = scores, positive: npt.NDArray[np.bool_] = positive) -> Figures:
            auc, _ = ranking_metrics(scores, positive, weights)
            return {"roc_auc": auc, "specificity": specificity_at(scores, positive, weights, SENSITIVITY)}

        found |= {name + suffix: value for name, value in intervals(figures, part.patients).items()}
    return AgainstNormal(radiographs=radiographs, **found)


def specificity_at(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats, sensitivity: float) -> Floats:
    """B values of the specificity at the highest threshold that finds the wanted share of the positive images.

    Args:
        scores: N.
        positive: N.
        weights: B×N of the images; NaN where they leave no positive image or no other one.
        sensitivity: in (0, 1].
    """
    order = np.argsort(-scores[positive], kind="stable")
    found = weights[:, positive][:, order].cumsum(axis=1)
    rising = np.argsort(scores[~positive], kind="stable")
    below = weights[:, ~positive][:, rising].cumsum(axis=1)
    if not order.size or not rising.size:
        return np.full(len(weights), np.nan)
    # The small number takes what summing in another order leaves.
    last = np.argmax(found >= sensitivity * found[:, -1:] - 1e-9, axis=1)
    threshold = scores[positive][order][last]
    under = np.searchsorted(scores[~positive][rising], threshold, side="left")
    spared = np.where(under > 0, below[np.arange(len(weights)), np.maximum(under - 1, 0)], 0.0)
    known = (found[:, -1] > 0) & (below[:, -1] > 0)
    return np.asarray(np.where(known, spared / np.where(known, below[:, -1], 1), np.nan))


def judge_transfer(
    site: str,
    inside: Judged,
    outside: Judged,
    left_out: dict[str, int],
    points: Sequence[OperatingPoint],
    normal_class: str,
) -> Transfer:
    """Compare a run's own test images with those of the site that it has never seen.

    Args:
        site: its name.
        inside: the run's test images.
        outside: the site's images of classes that the run knows.
        left_out: the site's other images, by class.
        points: the run's thresholds.
        normal_class: the class without disease.
    """
    present = judge_present(outside, normal_class)
    sides = restrict(inside, present.classes), restrict(outside, present.classes)
    size = len(present.classes)
    cells = sides[1].truth * size + sides[1].probabilities.argmax(axis=1)
    return Transfer(
        site=site,
        classes=present.classes,
        radiographs=len(outside.truth),
        patients=len(set(outside.patients)),
        left_out=left_out,
        in_site=metrics_with_intervals(sides[0]),
        held_out_site=present,
        drop=_drop(*sides),
        confusion_matrix=np.bincount(cells, minlength=size * size).reshape(size, size).tolist(),
        operating_points={
            point.label: judge_threshold(outside, point.label, point.threshold)
            for point in points
            if point.label in present.classes
        },
    )


def _drop(inside: Judged, outside: Judged) -> Interval:
    """Macro F1 of one set of images less that of another, without a common patient."""
    count = len(inside.truth)

    def figures(weights: Floats) -> Figures:
        parts = zip((inside, outside), np.split(weights, [count], axis=1), strict=True)
        first, second = (
            macro_f1(side.truth, side.probabilities.argmax(axis=1), len(side.classes), part) for side, part in parts
        )
        return {"drop": first - second}

    # A patient's name may mean another person in another hospital.
    patients = [f"in {name}" for name in inside.patients] + [f"out {name}" for name in outside.patients]
    return intervals(figures, patients)["drop"]


def interval_text(figure: Interval) -> str:
    """A figure with its interval, for a terminal."""
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def present_text(present: Present) -> str:
    """The figures over the classes that the images have, for a terminal."""
    lines = [
        f"restricted to the classes that these images have ({', '.join(present.classes)}): "
        f"macro F1 {interval_text(present.figures['macro_f1'])}"
    ]
    for name, one in present.against_normal.items():
        lines.append(
            f"{name} against normal ({one.radiographs[0]} and {one.radiographs[1]} images): AUC {interval_text(one.roc_auc)}, "
            f"specificity at {SENSITIVITY:.0%} sensitivity {interval_text(one.specificity)}; "
            f"restricted {interval_text(one.roc_auc_restricted)}, {interval_text(one.specificity_restricted)}"
        )
    return "\n".join(lines)


def transfer_table(found: Sequence[Transfer]) -> str:
    """The cross-site matrix as text: a row a site that was left out."""
    width = max(len("left out"), *(len(one.site) for one in found))
    cell = 23
    diseases = sorted({name for one in found for name in one.held_out_site.against_normal})
    head = ["in site", "out of site", "drop", *(f"AUC {name}" for name in diseases)]
    lines = [f"{'left out':{width}}  " + "  ".join(f"{name:{cell}}" for name in head) + "  classes"]
    for one in found:
        aucs = [one.held_out_site.against_normal.get(name) for name in diseases]
        figures = [one.in_site["macro_f1"], one.held_out_site.figures["macro_f1"], one.drop]
        cells = [interval_text(figure) for figure in figures]
        cells += [interval_text(auc.roc_auc) if auc else "–" for auc in aucs]
        row = "  ".join(f"{text:{cell}}" for text in cells)
        lines.append(f"{one.site:{width}}  {row}  {', '.join(one.classes)}")
    mean = np.mean([one.drop.value for one in found])
    return "\n".join([*lines, f"mean drop of macro F1 from in site to out of site: {mean:.3f}"])
