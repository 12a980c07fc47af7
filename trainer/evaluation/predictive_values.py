"""What a flag is worth where a disease is as frequent as the user says: positive and negative predictive value."""

import math
from collections.abc import Iterable, Mapping, Sequence

from bento.artifact import Interval, OperatingPoint, TestMetrics
from trainer.errors import UserError
from trainer.evaluation.figures import percent_with_interval
from trainer.running.documents import Document


class PredictiveValues(Document):
    """Predictive values of a class's operating point at a stated prevalence."""

    label: str
    prevalence: float
    """Share of the images that have the disease where the model is to be used, as the user states it."""
    positive: Interval | None
    """Share of the flagged images that have the disease; None without a threshold, where the test images have none with
    the disease or none without it, and where none was flagged."""
    negative: Interval | None
    """Share of the images that are not flagged that do not have it."""
    with_disease: int
    """Test images that the sensitivity rests on."""
    without_disease: int
    """Test images that the specificity rests on: those of all other classes, in the test set's proportions."""


def predictive_values(
    points: Sequence[OperatingPoint],
    without_threshold: Iterable[str],
    metrics: TestMetrics,
    prevalence: Mapping[str, float],
) -> list[PredictiveValues]:
    """Predictive values of each disease that has a prevalence.

    Args:
        points: with their test sensitivity and specificity.
        without_threshold: diseases that are never flagged, so that they have none.
        metrics: of the same test images.
        prevalence: in (0, 1), by class; of all other diseases by the empty name.
    """
    rates = {point.label: (point.test_sensitivity, point.test_specificity) for point in points}
    rates |= dict.fromkeys(without_threshold, (None, None))
    stated = {label: prevalence.get(label, prevalence.get("")) for label in rates}
    return [_at(label, share, metrics, *rates[label]) for label, share in stated.items() if share is not None]


def check_prevalence(prevalence: Mapping[str, float], classes: Sequence[str], normal_class: str) -> None:
    """Refuse a prevalence of something that is none of the model's diseases.

    Raises:
        UserError: it names the diseases.
    """
    diseases = [name for name in classes if name != normal_class]
    for label in prevalence:
        if label and label not in diseases:
            raise UserError(f"--prevalence {label}=…: no disease of this model; its diseases are {', '.join(diseases)}")


def _at(
    label: str, prevalence: float, metrics: TestMetrics, sensitivity: Interval | None, specificity: Interval | None
) -> PredictiveValues:
    positive = negative = None
    if sensitivity is not None and specificity is not None:
        positive, negative = values_at(sensitivity, specificity, prevalence)
    with_disease = metrics.per_class[label].support
    return PredictiveValues(
        label=label,
        prevalence=prevalence,
        positive=positive,
        negative=negative,
        with_disease=with_disease,
        without_disease=metrics.images - with_disease,
    )


def values_at(
    sensitivity: Interval, specificity: Interval, prevalence: float
) -> tuple[Interval | None, Interval | None]:
    """Positive and negative predictive value at a prevalence in (0, 1); None where nothing is flagged, or everything.

    Sensitivity and specificity must rest on different images.
    """
    odds = prevalence / (1 - prevalence)
    positive = _predictive_value(sensitivity, complement(specificity), odds)
    return positive, _predictive_value(specificity, complement(sensitivity), 1 / odds)


def _predictive_value(right: Interval, wrong: Interval, odds: float) -> Interval | None:
    """The share of right answers among equal ones, from the rates of right and of wrong ones; None where both are 0.

    It rises with the ratio of the two rates, so that the interval of the ratio gives that of the share. The ratio's is
    made from the intervals of two independent rates by MOVER-R (Donner & Zou 2012; Newcombe 2016), which holds at 0 and
    1 too, where the logit interval of Mercaldo et al. (2007) has none.
    """
    if right.value == wrong.value == 0:
        return None
    low, inverse = least_ratio(right, wrong), least_ratio(wrong, right)
    high = 1 / inverse if inverse else math.inf
    value = right.value / wrong.value if wrong.value else math.inf
    return Interval(**{
        name: 1.0 if math.isinf(ratio) else ratio * odds / (1 + ratio * odds)
        for name, ratio in (("value", value), ("low", low), ("high", high))
    })  # fmt: skip


def least_ratio(first: Interval, second: Interval) -> float:
    """Lower limit of the ratio of two independent figures, neither below 0, by MOVER-R; 0 where the first may be 0."""
    part = first.low * (2 * first.value - first.low)
    product = first.value * second.value
    root = math.sqrt(max(0.0, product**2 - part * second.high * (2 * second.value - second.high)))
    return part / (product + root) if part else 0.0


def complement(rate: Interval) -> Interval:
    """One less the rate."""
    return Interval(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low)


def predictive_text(rows: Sequence[PredictiveValues]) -> str:
    """A line for each class, for a terminal."""
    return "\n".join(f"{row.label}, where {100 * row.prevalence:.3g} % have it: {_worth(row)}" for row in rows)


def _worth(row: PredictiveValues) -> str:
    if row.positive is None and row.negative is None:
        return "no predictive values, since it has no threshold, or the test images do not tell what it does"
    images = min(row.with_disease, row.without_disease)
    flagged, others = (
        "–" if value is None else percent_with_interval(value, images) for value in (row.positive, row.negative)
    )
    return (
        f"of the flagged {flagged} have it, of the others {others} do not (from {row.with_disease:,} test images with "
        f"it and {row.without_disease:,} without)"
    )
