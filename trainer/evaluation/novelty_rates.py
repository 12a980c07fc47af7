"""How often radiographs like the training images are taken for novel or for wrongly oriented."""

import numpy as np
from scipy.stats import binomtest

from bento.artifact import ORIENTATIONS, Interval, NoveltyFit, OrientationPoint
from trainer.documents import Document, StoredNovelty
from trainer.errors import UserError
from trainer.evaluation.scoring import Evaluation
from trainer.types import Array


class NoveltyRates(Document):
    """Novelty and orientation thresholds, and how many of the judged images each one marks."""

    radiographs: int
    novelty: StoredNovelty
    orientations: list[OrientationPoint]


def judge_novelty(
    radiographs: Evaluation,
    novelty: NoveltyFit,
    orientations: list[OrientationPoint],
    held_out: Evaluation | None = None,
) -> NoveltyRates:
    """How many images, which no threshold was fitted to, ``novelty`` and ``orientations`` mark.

    Args:
        radiographs: like the training images, shown upright.
        novelty: the score's threshold.
        orientations: the orientations' thresholds.
        held_out: images of a site that was left out of training.

    Raises:
        UserError: the model's graph is older than its record.
    """
    flagged = _flagged(radiographs, novelty)
    sites = np.array(radiographs.sites)
    rates = {
        "test_flagged": share(flagged),
        "test_flagged_by_site": {name: share(flagged[sites == name]) for name in sorted(set(radiographs.sites) - {""})},
        "held_out_flagged": share(_flagged(held_out, novelty)) if held_out is not None else None,
    }
    shown = np.zeros((0, len(ORIENTATIONS))) if radiographs.orientations is None else radiographs.orientations
    return NoveltyRates(
        radiographs=len(radiographs.radiographs),
        novelty=NoveltyFit.model_validate(novelty.model_dump() | rates),
        orientations=[
            point.model_copy(
                update={"test_false_alarms": share(shown[:, ORIENTATIONS.index(point.kind)] >= point.threshold)}
            )
            for point in orientations
        ],
    )


def _flagged(radiographs: Evaluation, novelty: NoveltyFit) -> Array:
    if radiographs.novelty is None:
        raise UserError("the sealed graph does not tell novelty, as its record says it does; train again")
    return radiographs.novelty > novelty.threshold


def share(truths: Array) -> Interval | None:
    """Share of N truths with its exact 95 % binomial interval (Clopper & Pearson 1934); None where N is 0.

    Unlike a bootstrap it does not claim certainty where none of a few images is flagged.
    """
    if len(truths) == 0:
        return None
    test = binomtest(int(truths.sum()), len(truths))
    low, high = test.proportion_ci()
    return Interval(value=float(test.statistic), low=float(low), high=float(high))


def novelty_text(rates: NoveltyRates) -> str:
    """The rates as text for a terminal."""
    novelty = rates.novelty
    groups = [("radiographs", novelty.test_flagged)]
    groups += [(f"site {name}", rate) for name, rate in novelty.test_flagged_by_site.items()]
    groups += [("the held-out site's images", novelty.held_out_flagged)]
    shares = "; ".join(f"{name} {_percent(rate)}" for name, rate in groups if rate is not None)
    alarms = ", ".join(f"{point.kind} {_percent(point.test_false_alarms)}" for point in rates.orientations)
    return (
        f"taken for unlike the training images, of {rates.radiographs} images (95 % interval): {shares}\n"
        f"taken for shown wrongly: {alarms}"
    )


def _percent(rate: Interval | None) -> str:
    return "–" if rate is None else f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})"
