"""One disease at a site: its threshold, its recalibration, and what a range of thresholds means."""

import math
from dataclasses import dataclass

from bento.artifact import Recalibration, SiteThreshold, Threshold
from bento.inference.odds import odds
from trainer.evaluation.bootstrap import JudgedImages
from trainer.sites.programme import Samples, Terms, programme_table
from trainer.sites.recalibration import recalibrate
from trainer.sites.report import DiseaseTable
from trainer.sites.stratified import Sample
from trainer.sites.thresholds import just_below, patients_needed, reached_confidence


@dataclass(frozen=True)
class Aim:
    """What a site's threshold is to reach, and where it is used."""

    sensitivity: float
    confidence: float
    terms: Terms


@dataclass(frozen=True)
class CalibratedDisease:
    """What a site's images say of one disease."""

    label: str
    threshold: SiteThreshold | None = None
    why_none: str = ""
    """Why there is no threshold."""
    recalibration: Recalibration | None = None
    table: DiseaseTable | None = None
    """None where the images are all with the disease, or all without it."""


def calibrate_disease(
    label: str, images: JudgedImages, sample: Sample, own: Threshold | None, reference: str | None, aim: Aim
) -> CalibratedDisease:
    """Find a disease's threshold and recalibration.

    Args:
        label: the disease.
        images: of the site, as the model judges them.
        sample: how they stand for the site's.
        own: the model's own threshold, if it has one.
        reference: the class that the score is the odds against; None: the score is the probability.
        aim: what the threshold is to reach, and where.
    """
    positive = images.truth == images.classes.index(label)
    if not positive.any() or positive.all():
        return CalibratedDisease(label, why_none=f"no image {'without' if positive.any() else 'of'} {label}")
    scores = odds(images.probabilities, images.classes, label, reference)
    of = Samples(scores, positive, images.patients, sample if sample.strata is not None else None)
    rank = of.highest(aim.sensitivity, aim.confidence)
    rows = programme_table(of, aim.terms, aim.confidence, rank, own.threshold if own else None)
    return CalibratedDisease(
        label,
        threshold=_threshold(label, reference, of, rank, aim) if rank else None,
        why_none="" if rank else _too_few(label, of, aim),
        recalibration=recalibrate(label, scores, positive, sample, aim.terms.prevalence),
        table=DiseaseTable(
            label=label,
            reference=reference,
            terms=aim.terms,
            patients=len(of.lowest),
            images=int(positive.sum()),
            other_patients=of.other_patients,
            other_images=int((~positive).sum()),
            rows=rows,
        ),
    )


def _threshold(label: str, reference: str | None, of: Samples, rank: int, aim: Aim) -> SiteThreshold:
    threshold, count = just_below(float(of.lowest[rank - 1])), len(of.lowest)
    return SiteThreshold(
        label=label,
        threshold=threshold,
        reference=reference,
        target_sensitivity=aim.sensitivity,
        confidence=aim.confidence,
        reached_confidence=reached_confidence(of.standing(rank), aim.sensitivity),
        rank=rank,
        independent_patients=None if of.drawn is None else of.standing(rank).patients,
        positive_patients=count,
        positive_images=int(of.positive.sum()),
        negative_patients=of.other_patients,
        negative_images=int((~of.positive).sum()),
        sensitivity=of.sensitivity(rank),
        specificity=of.specificity(threshold),
    )


def _too_few(label: str, of: Samples, aim: Aim) -> str:
    needed, patients, standing = patients_needed(aim.sensitivity, aim.confidence), len(of.lowest), of.standing(1)
    reached = reached_confidence(standing, aim.sensitivity)
    wanted = f"a sensitivity of {100 * aim.sensitivity:.3g} % with the confidence {aim.confidence:.3g} needs {needed}"
    if of.drawn is None:
        return (
            f"{label}: {patients} patients with it, and {wanted} (with {patients} no threshold is surer than "
            f"{reached:.2f})"
        )
    about = math.ceil(len(of.scores) * needed / standing.patients)
    return (
        f"{label}: {patients} patients with it, drawn by score, are worth {standing.patients:.1f} drawn as they come, "
        f"and {wanted} (no threshold is surer than {reached:.2f}); have about {about:,} images labelled instead of "
        f"{len(of.scores):,}"
    )
