"""What a threshold means for a screening programme: a row for each of a range of thresholds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bento.artifact import Interval
from trainer.evaluation.predictive_values import complement, least_ratio, values_at
from trainer.evaluation.shares import share_interval
from trainer.running.documents import Document
from trainer.sites.stratified import Sample
from trainer.sites.thresholds import (
    Standing,
    highest_rank,
    just_below,
    lower_limit,
    lowest_scores,
    reached_confidence,
    sensitivity_at,
)
from trainer.types import Floats

RANKS = 10
"""Number of thresholds in a table, beside the chosen one and the model's own."""


class Terms(Document):
    """Where a programme works, as its users state it; what is None is not said."""

    prevalence: float | None = None
    """Share of the images that have the disease."""
    cost_image: float | None = None
    """Of a radiograph with its answer, in any currency."""
    cost_test: float | None = None
    """Of the test that follows a flag, in the same currency."""


class Row(Document):
    """What one threshold does. Figures that need terms which are not stated are None."""

    threshold: float
    use: str = ""
    """``chosen`` or ``model's own``, else empty."""
    sensitivity: Interval
    """Share of the patients with the disease, all of whose images are flagged."""
    at_least: float | None
    """The sensitivity that the threshold has at least, with the confidence asked for; None of the model's own, which
    was not chosen among these patients."""
    specificity: Interval
    """Share of the images without the disease that are not flagged."""
    positive_value: Interval | None = None
    """Share of the flagged who have the disease."""
    negative_value: Interval | None = None
    """Share of the others who do not."""
    referred: Interval | None = None
    """Flagged, of 1,000 images."""
    missed: Interval | None = None
    """With the disease and not flagged, of 1,000 images."""
    cost: Interval | None = None
    """Of each case found."""


@dataclass(frozen=True)
class Samples:
    """N calibration images as one disease sees them."""

    scores: Floats
    """N."""
    positive: npt.NDArray[np.bool_]
    """Which of the N images have the disease; some do, and some do not."""
    patients: Sequence[str]
    """Of the N images."""
    drawn: Sample | None = None
    """How the images stand for the site's, where they were drawn by score; None: as they come."""

    @cached_property
    def lowest(self) -> npt.NDArray[np.float64]:
        """The lowest score of each patient with the disease, in ascending order."""
        return lowest_scores(self.scores[self.positive], self._patients_of(self.positive))

    @cached_property
    def other_patients(self) -> int:
        """Number of patients with images without the disease."""
        return len(set(self._patients_of(~self.positive)))

    def specificity(self, threshold: float) -> Interval:
        """Share of the images without the disease whose score is below a threshold that did not depend on them."""
        return self._share(self.scores < threshold, ~self.positive)

    def own_sensitivity(self, threshold: float) -> Interval:
        """Share of the patients with the disease that a threshold finds which did not depend on them."""
        if self.drawn is not None:
            return self._share(self.scores >= threshold, self.positive)
        found = self.lowest >= threshold
        return share_interval(found, [str(i) for i in range(len(found))])

    def standing(self, rank: int) -> Standing:
        """How much is known of the threshold just below the ``rank``-th lowest score."""
        if self.drawn is None:
            return Standing(len(self.lowest), rank)
        return self.drawn.standing(self.scores >= self.lowest[rank - 1], self.positive)

    def sensitivity(self, rank: int) -> Interval:
        """Mean and 95 % interval of the true sensitivity just below the ``rank``-th lowest score."""
        cautious = sensitivity_at(self.standing(rank))
        if self.drawn is None:
            return cautious
        rate = self.drawn.rate(self.scores >= self.lowest[rank - 1], self.positive)
        found = sensitivity_at(Standing(rate.size, 1 + (1 - rate.value) * rate.size))
        return Interval(value=found.value, low=min(found.low, cautious.low), high=found.high)

    def highest(self, target: float, confidence: float) -> int | None:
        """Rank of the highest threshold that reaches a sensitivity with ``confidence``; None: there is none.

        Of images drawn by score, each lower one must reach it, too. The lowest one that falls short of the target at
        the site must so be taken to reach it, before any other such one can be.
        """
        if self.drawn is None:
            return highest_rank(len(self.lowest), target, confidence)
        rank = 0
        while rank < len(self.lowest) and reached_confidence(self.standing(rank + 1), target) >= confidence:
            rank += 1
        return rank or None

    def _share(self, hits: npt.NDArray[np.bool_], counted: npt.NDArray[np.bool_]) -> Interval:
        if self.drawn is None:
            return share_interval(hits, self.patients, counted)
        rate = self.drawn.rate(hits, counted)
        low, high = rate.limits()
        return Interval(value=rate.value, low=low, high=high)

    def _patients_of(self, chosen: npt.NDArray[np.bool_]) -> list[str]:
        return [patient for patient, kept in zip(self.patients, chosen.tolist(), strict=True) if kept]


def programme_table(of: Samples, terms: Terms, confidence: float, chosen: int | None, own: float | None) -> list[Row]:
    """Rows by ascending threshold: just below scores of patients with the disease, and the model's own threshold.

    Args:
        of: the disease's images.
        terms: where the programme works.
        confidence: of :attr:`Row.at_least`.
        chosen: rank of the site's threshold, if it has one.
        own: the model's own, if it has one.
    """
    count = len(of.lowest)
    ranks = {int(rank) for rank in np.linspace(1, (count + 1) // 2, RANKS).round()}
    if chosen is not None:
        ranks.add(chosen)
    by_threshold = {just_below(float(of.lowest[rank - 1])): rank for rank in sorted(ranks)}
    rows = [
        Row(
            threshold=threshold,
            use="chosen" if rank == chosen else "",
            sensitivity=of.sensitivity(rank),
            at_least=lower_limit(of.standing(rank), confidence),
            specificity=of.specificity(threshold),
        )
        for threshold, rank in by_threshold.items()
    ]
    if own is not None:
        rows.append(own_row(of, own))
    return [_on(terms, row) for row in sorted(rows, key=lambda row: row.threshold)]


def own_row(of: Samples, threshold: float) -> Row:
    """What the model's own threshold does: counts of these patients, with intervals."""
    return Row(
        threshold=threshold,
        use="model's own",
        sensitivity=of.own_sensitivity(threshold),
        at_least=None,
        specificity=of.specificity(threshold),
    )


def _on(terms: Terms, row: Row) -> Row:
    """The row with the figures that the terms allow."""
    share = terms.prevalence
    if share is None:
        return row
    positive, negative = values_at(row.sensitivity, row.specificity, share)
    ill = _times(row.sensitivity, 1000 * share)
    well = _times(complement(row.specificity), 1000 * (1 - share))
    return row.model_copy(
        update={
            "positive_value": positive,
            "negative_value": negative,
            "referred": _sum(ill, well),
            "missed": _times(complement(row.sensitivity), 1000 * share),
            "cost": _cost(ill, well, terms),
        }
    )


def _times(rate: Interval, factor: float) -> Interval:
    return Interval(value=rate.value * factor, low=rate.low * factor, high=rate.high * factor)


def _sum(first: Interval, second: Interval) -> Interval:
    """Sum of two independent figures, with an interval from theirs by MOVER (Zou & Donner 2008)."""
    value = first.value + second.value
    below = math.hypot(first.value - first.low, second.value - second.low)
    above = math.hypot(first.high - first.value, second.high - second.value)
    return Interval(value=value, low=value - below, high=value + above)


def _cost(ill: Interval, well: Interval, terms: Terms) -> Interval | None:
    """Cost of each case found: each image and each test of a flagged one is paid for.

    The tests of the cases found themselves are a constant for each; what is left is a ratio of two independent figures,
    whose interval is made by MOVER-R (Donner & Zou 2012).
    """
    if (terms.cost_image is None and terms.cost_test is None) or ill.low <= 0:
        return None
    image, test = terms.cost_image or 0.0, terms.cost_test or 0.0
    paid = Interval(**{side: 1000 * image + test * value for side, value in well.model_dump().items()})
    least = least_ratio(ill, paid)
    if not paid.value or not least:
        return None
    return Interval(value=paid.value / ill.value + test, low=least_ratio(paid, ill) + test, high=1 / least + test)
