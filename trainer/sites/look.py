"""One look at a site's images: what the model does on them, and what the plan says of it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bento.artifact import Interval, Threshold, sha256_file
from bento.inference.odds import odds
from bento.inference.session import Predictor
from trainer.errors import UserError
from trainer.evaluation.scoring import Evaluation, score_images
from trainer.inference.model_store import SealedModel
from trainer.site_settings import AcceptSettings
from trainer.sites.acceptance import Acceptance, Images, Look, Measured, Plan, Verdict
from trainer.sites.labelled import LabelledImages
from trainer.sites.sample_size import exact_limits, look_levels
from trainer.sites.stratified import Rate, drawn_sample
from trainer.sites.subgroups import judge_subgroups


@dataclass(frozen=True)
class Test:
    """What a look is taken with."""

    settings: AcceptSettings
    predictor: Predictor
    point: Threshold
    plan: Plan
    former: Acceptance | None
    """The record of the looks before; None for the first one."""


def take_look(test: Test, images: LabelledImages, labels: dict[str, str]) -> Look:
    """Judge a site's images.

    Args:
        test: the plan, the model and the looks before.
        images: that the model has not seen.
        labels: of the images by the hash of their files.

    Raises:
        UserError: a label that the model does not know, nothing readable, none with the disease or none without it, or
            a stratum without a label.
    """
    settings, point, plan = test.settings, test.point, test.plan
    evaluation = score_images(images.radiographs, SealedModel.of(test.predictor, settings.workers))
    radiographs = evaluation.radiographs
    scores = odds(evaluation.probabilities, evaluation.classes, point.label, point.reference)
    flagged, positive = scores >= point.threshold, np.array([image.label == point.label for image in radiographs])
    if positive.all() or not positive.any():
        raise UserError(
            f"{' + '.join(settings.dataset)}: {'only' if positive.any() else 'no'} images of {point.label}; "
            "the test needs images with the disease and without it"
        )
    sample = drawn_sample(radiographs, images.stratum_images)
    before = test.former.looks if test.former else []
    sensitivity = measured(
        sample.rate(flagged, positive), plan.target_sensitivity, plan, [look.sensitivity for look in before]
    )
    specificity = measured(
        sample.rate(~flagged, ~positive), plan.target_specificity, plan, [look.specificity for look in before]
    )
    verdict, reason = verdict_of(plan, sensitivity, specificity)
    number = len(before) + 1
    return Look(
        number=number,
        created=datetime.now(UTC),
        signed_by=settings.signed_by,
        images=_images(test, evaluation, images, labels),
        sensitivity=sensitivity,
        specificity=specificity,
        subgroups=judge_subgroups(radiographs, sample, flagged, positive),
        verdict=verdict,
        reason=reason,
        last=verdict != "can't tell" or number == plan.looks,
    )


def measured(rate: Rate, target: float, plan: Plan, former: Sequence[Measured]) -> Measured:
    """A rate with the exact limits that this look's level gives."""
    sizes = [max(1, int(one.independent)) for one in former] + [max(1, int(rate.size))]
    sizes = np.maximum.accumulate(sizes).tolist()  # patients with few images each may be worth less than before
    level, upper_level = (look_levels(share, sizes, plan.looks, plan.alpha)[-1] for share in (target, 1 - target))
    limits, ordinary = exact_limits(rate.value, rate.size, level, upper_level), rate.limits()
    return Measured(
        interval=Interval(value=rate.value, low=limits[0], high=limits[1]),
        ordinary=Interval(value=rate.value, low=ordinary[0], high=ordinary[1]),
        images=rate.images,
        independent=rate.size,
        level=level,
        upper_level=upper_level,
    )


def verdict_of(plan: Plan, sensitivity: Measured, specificity: Measured) -> tuple[Verdict, str]:
    """The verdict by the limits alone, and why."""
    rates = (("sensitivity", sensitivity.interval, plan.target_sensitivity),
             ("specificity", specificity.interval, plan.target_specificity))  # fmt: skip
    if missed := [(name, rate, target) for name, rate, target in rates if rate.high < target]:
        said = " and ".join(
            f"the {name} is at most {rate.high:.3f} ({target:.2f} is wanted)" for name, rate, target in missed
        )
        return "not met", said
    if open_ := [(name, rate, target) for name, rate, target in rates if rate.low < target]:
        said = " and ".join(
            f"the {name} may be anything from {rate.low:.3f} to {rate.high:.3f} ({target:.2f} is wanted)"
            for name, rate, target in open_
        )
        return "can't tell", said
    return "met", " and ".join(
        f"the {name} is at least {rate.low:.3f} ({target:.2f} is wanted)" for name, rate, target in rates
    )


def _images(test: Test, evaluation: Evaluation, images: LabelledImages, labels: dict[str, str]) -> Images:
    """What the look's images are."""
    lines = "".join(f"{digest} {label}\n" for digest, label in sorted(labels.items()))
    before = test.former.looks[-1].images.labels_by_sha256 if test.former else {}
    novelty, seen, settings = test.predictor.manifest.novelty, images.seen, test.settings
    novel = None
    if novelty is not None and evaluation.novelty is not None:
        novel = int((evaluation.novelty > novelty.threshold).sum())
    return Images(
        datasets=[Path(name).name for name in settings.dataset],
        fingerprint=hashlib.sha256(lines.encode()).hexdigest(),
        labels_file=sha256_file(settings.labels) if settings.labels else None,
        strata=len(images.stratum_images),
        counts=dict(sorted(Counter(image.label for image in evaluation.radiographs).items())),
        patients=len({image.person for image in evaluation.radiographs}),
        left_out_seen=seen.left_out,
        left_out_calibrated=images.calibrated,
        left_out_copies=seen.given - seen.left_out - images.calibrated - len(images.radiographs),
        checked_seen=seen.checked,
        unreadable=evaluation.unreadable,
        novel=novel,
        relabelled=sum(labels[digest] != label for digest, label in before.items()),
        labels_by_sha256=dict(sorted(labels.items())),
    )
