"""How many images are taken for something that the model does not know: figures on images of the model's own kind."""

import numpy as np
from pydantic import BaseModel
from scipy.stats import binomtest

from bento.artifact import ORIENTATIONS, Interval, NoveltyFit, OrientationPoint
from trainer.errors import UserError
from trainer.evaluation.scoring import Evaluation
from trainer.types import Array


class NoveltyRates(BaseModel):
    """Score and orientations, with their figures on the images that were judged."""

    radiographs: int
    novelty: NoveltyFit
    orientations: list[OrientationPoint]


def judge_novelty(
    radiographs: Evaluation,
    novelty: NoveltyFit,
    orientations: list[OrientationPoint],
    held_out: Evaluation | None = None,
) -> NoveltyRates:
    """The figures of ``novelty`` and ``orientations`` on images that neither was fitted to.

    Args:
        radiographs: of the model's own kind, untouched.
        novelty: with the threshold.
        orientations: with their thresholds.
        held_out: images of a site that was left out of training.

    Raises:
        UserError: the model's graph is older than its record.
    """
    flagged = _flagged(radiographs, novelty)
    sites = np.array(radiographs.sites)
    figures = {
        "test_flagged": share(flagged),
        "test_flagged_by_site": {name: share(flagged[sites == name]) for name in sorted(set(radiographs.sites) - {""})},
        "held_out_flagged": share(_flagged(held_out, novelty)) if held_out is not None else None,
    }
    shown = np.zeros((0, len(ORIENTATIONS))) if radiographs.orientations is None else radiographs.orientations
    return NoveltyRates(
        radiographs=len(radiographs.radiographs),
        novelty=NoveltyFit.model_validate(novelty.model_dump() | figures),
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
    """Share of N truths with its exact 95 % binomial interval (Clopper & Pearson 1934); None of none.

    Unlike a bootstrap it does not claim certainty where none of a few images is flagged.
    """
    if len(truths) == 0:
        return None
    found = binomtest(int(truths.sum()), len(truths))
    low, high = found.proportion_ci()
    return Interval(value=float(found.statistic), low=float(low), high=float(high))


def novelty_text(found: NoveltyRates) -> str:
    """The figures, a sentence a line."""
    novelty = found.novelty
    parts = [("radiographs", novelty.test_flagged)]
    parts += [(f"site {name}", one) for name, one in novelty.test_flagged_by_site.items()]
    parts += [("the held-out site's images", novelty.held_out_flagged)]
    shares = "; ".join(f"{name} {_percent(one)}" for name, one in parts if one is not None)
    alarms = ", ".join(f"{one.kind} {_percent(one.test_false_alarms)}" for one in found.orientations)
    return (
        f"taken for outside what the model knows, of {found.radiographs} images (95 % interval): {shares}\n"
        f"taken for shown wrongly: {alarms}"
    )


def _percent(one: Interval | None) -> str:
    return "–" if one is None else f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%})"
