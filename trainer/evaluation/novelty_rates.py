"""How often radiographs like the training images are taken for novel or for wrongly oriented."""

from collections.abc import Sequence

import numpy as np

from bento.artifact import ORIENTATIONS, Interval, NoveltyFit, OrientationPoint
from trainer.errors import UserError
from trainer.evaluation.figures import percent_with_interval
from trainer.evaluation.scoring import Evaluation
from trainer.evaluation.shares import share_interval
from trainer.running.documents import Document, StoredNovelty
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
    flagged, patients = _flagged(radiographs, novelty), radiographs.judged.patients
    sites, shown = np.array(radiographs.sites), radiographs.orientations
    by_site = {
        name: share(flagged[sites == name], images.patients) for name, images in radiographs.judged_by_site.items()
    }
    rates = {
        "test_flagged": share(flagged, patients),
        "test_flagged_by_site": by_site,
        "held_out_flagged": share(_flagged(held_out, novelty), held_out.judged.patients) if held_out else None,
    }

    def false_alarms(point: OrientationPoint) -> Interval | None:
        return None if shown is None else share(shown[:, ORIENTATIONS.index(point.kind)] >= point.threshold, patients)

    return NoveltyRates(
        radiographs=len(radiographs.radiographs),
        novelty=NoveltyFit.model_validate(novelty.model_dump() | rates),
        orientations=[point.model_copy(update={"test_false_alarms": false_alarms(point)}) for point in orientations],
    )


def _flagged(radiographs: Evaluation, novelty: NoveltyFit) -> Array:
    if radiographs.novelty is None:
        raise UserError("the sealed graph does not tell novelty, as its record says it does; train again")
    return radiographs.novelty > novelty.threshold


def share(flagged: Array, patients: Sequence[str]) -> Interval | None:
    """Share of the N images of ``patients`` that are flagged, with its interval; None where N is 0."""
    return share_interval(flagged, patients) if len(flagged) else None


def novelty_text(rates: NoveltyRates) -> str:
    """The rates as text for a terminal."""
    novelty = rates.novelty
    groups = [("all", novelty.test_flagged)]
    groups += [(f"site {name}", rate) for name, rate in novelty.test_flagged_by_site.items()]
    groups += [("the held-out site's images", novelty.held_out_flagged)]
    images = rates.radiographs
    shares = "; ".join(f"{name} {percent_with_interval(rate, images)}" for name, rate in groups if rate is not None)
    alarms = ", ".join(
        f"{point.kind} {percent_with_interval(point.test_false_alarms, images)}"
        for point in rates.orientations
        if point.test_false_alarms is not None
    )
    lines = [f"taken for unlike the training images, of {images:,} images (95 % interval): {shares}"]
    if alarms:
        lines.append(f"taken for shown wrongly, of the same: {alarms}")
    return "\n".join(lines)
