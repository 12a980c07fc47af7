"""How many films are taken for something that the model does not know: figures on films of the model's own kind."""

import numpy as np
from pydantic import BaseModel
from scipy.stats import binomtest

from bento.artifact import VIEWS, Interval, NoveltyFit, ViewPoint
from trainer.errors import UserError
from trainer.evaluation.scoring import Evaluation
from trainer.features.memmap import Array


class OutsideFound(BaseModel):
    """Score and views, with their figures on the films that were judged."""

    films: int
    novelty: NoveltyFit
    views: list[ViewPoint]


def judge_outside(
    films: Evaluation, novelty: NoveltyFit, views: list[ViewPoint], held_out: Evaluation | None = None
) -> OutsideFound:
    """The figures of ``novelty`` and ``views`` on films that neither was fitted to.

    Args:
        films: of the model's own kind, untouched.
        novelty: with the threshold.
        views: with their thresholds.
        held_out: films of a source that was left out of training.

    Raises:
        UserError: the model's graph is older than its record.
    """
    flagged = _flagged(films, novelty)
    sources = np.array(films.sources)
    figures = {
        "test_flagged": share(flagged),
        "test_flagged_by_source": {
            name: share(flagged[sources == name]) for name in sorted(set(films.sources) - {""})
        },
        "held_out_flagged": share(_flagged(held_out, novelty)) if held_out is not None else None,
    }
    shown = np.zeros((0, len(VIEWS))) if films.views is None else films.views
    return OutsideFound(
        films=len(films.films),
        novelty=NoveltyFit.model_validate(novelty.model_dump() | figures),
        views=[
            point.model_copy(
                update={"test_false_alarms": share(shown[:, VIEWS.index(point.kind)] >= point.threshold)}
            )
            for point in views
        ],
    )


def _flagged(films: Evaluation, novelty: NoveltyFit) -> Array:
    if films.novelty is None:
        raise UserError("the sealed graph does not tell novelty, as its record says it does; train again")
    return films.novelty > novelty.threshold


def share(truths: Array) -> Interval | None:
    """Share of N truths with its exact 95 % binomial interval (Clopper & Pearson 1934); None of none.

    Unlike a bootstrap it does not claim certainty where none of a few films is flagged.
    """
    if len(truths) == 0:
        return None
    found = binomtest(int(truths.sum()), len(truths))
    low, high = found.proportion_ci()
    return Interval(value=float(found.statistic), low=float(low), high=float(high))


def outside_text(found: OutsideFound) -> str:
    """The figures, a sentence a line."""
    novelty = found.novelty
    parts = [("films", novelty.test_flagged)]
    parts += [(f"source {name}", one) for name, one in novelty.test_flagged_by_source.items()]
    parts += [("the held-out source's films", novelty.held_out_flagged)]
    shares = "; ".join(f"{name} {_percent(one)}" for name, one in parts if one is not None)
    alarms = ", ".join(f"{one.kind} {_percent(one.test_false_alarms)}" for one in found.views)
    return (
        f"taken for outside what the model knows, of {found.films} films (95 % interval): {shares}\n"
        f"taken for shown wrongly: {alarms}"
    )


def _percent(one: Interval | None) -> str:
    return "–" if one is None else f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%})"
