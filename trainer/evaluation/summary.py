"""The whole judgement of a model, as the document ``metrics.json`` that report, card and manifest are views of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from bento.artifact import CalibrationMetrics, Interval, OperatingPoint
from trainer.data.listing import Radiograph
from trainer.data.manifest import Record
from trainer.evaluation.bootstrap import LEVEL, RESAMPLES, Judged, metrics_with_intervals
from trainer.evaluation.calibration import reliability, uncalibrated
from trainer.evaluation.confounding import (
    Association,
    Call,
    Probe,
    association,
    cross_site_calls,
    probe_sentence,
    probe_site,
    site_warning,
)
from trainer.evaluation.cross_site import Transfer
from trainer.evaluation.data_audit import Audit
from trainer.evaluation.failures import Failures
from trainer.evaluation.novelty_rates import NoveltyRates
from trainer.evaluation.operating_points import judge_threshold
from trainer.evaluation.scoring import Evaluation
from trainer.evaluation.shortcut_controls import (
    Control,
    border_pixels,
    judge_controls,
    linear_predictions,
    pooled,
    shuffled_predictions,
)
from trainer.files import write_json
from trainer.types import Array


class SiteFindings(BaseModel):
    """What is known of class and site."""

    association: Association | None
    """None where fewer than two sites are named."""
    probe: Probe | None
    probe_text: str
    calls: list[Call]
    """Images called a class that their site has none of, of images that the model was not fitted to."""


def core_document(test: Evaluation, temperature: float, points: list[OperatingPoint]) -> dict[str, Any]:
    """The figures that any set of judged images has: with intervals, by site, calibration, operating points."""
    judged, by_site = test.judged, test.judged_by_site
    found = metrics_with_intervals(judged)
    return {
        "test": test.metrics.model_dump(),
        "by_site": {name: figures.model_dump() for name, figures in test.metrics_by_site.items()},
        "unreadable": test.unreadable,
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "resampled": "patients",
            "patients": len(set(judged.patients)),
            "test": _dump(found),
            "by_site": {name: _dump(metrics_with_intervals(part)) for name, part in by_site.items()},
        },
        "calibration": _calibration(judged, found, temperature),
        "operating_points": [point.model_dump() for point in points],
        "operating_points_by_site": {
            point.label: {
                name: _dump(judge_threshold(part, point.label, point.threshold)) for name, part in by_site.items()
            }
            for point in points
        },
    }


def _calibration(judged: Judged, after: dict[str, Interval], temperature: float) -> dict[str, Any]:
    """Figures and reliability diagrams with and without the temperature; ``after`` are those with it."""
    unscaled = judged.with_probabilities(uncalibrated(judged.probabilities, temperature))
    before = metrics_with_intervals(unscaled)
    return {
        "temperature": temperature,
        "before": _dump({name: before[name] for name in CalibrationMetrics.model_fields}),
        "after": _dump({name: after[name] for name in CalibrationMetrics.model_fields}),
        "reliability_before": [one.model_dump() for one in reliability(unscaled.probabilities, judged.truth)],
        "reliability_after": [one.model_dump() for one in reliability(judged.probabilities, judged.truth)],
    }


def _dump(figures: dict[str, Interval]) -> dict[str, Any]:
    return {name: figure.model_dump() for name, figure in figures.items()}


def judge_sites(unseen: Sequence[Evaluation], radiographs: Sequence[Radiograph | Record]) -> SiteFindings:
    """Association of class and site over ``radiographs``; the probe works on images that the model was not fitted to."""
    found = association(
        [radiograph.label for radiograph in radiographs],
        [radiograph.site for radiograph in radiographs],
        [radiograph.patient for radiograph in radiographs],
    )
    judged = [radiograph for part in unseen for radiograph in part.radiographs]
    probe = probe_site(
        np.concatenate([part.embeddings for part in unseen]),
        [radiograph.label for radiograph in judged],
        [radiograph.site for radiograph in judged],
        [radiograph.patient for radiograph in judged],
    )
    parts = [part.judged for part in unseen]
    calls = cross_site_calls(
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities.argmax(axis=1) for part in parts]),
        unseen[0].classes,
        [radiograph.site for radiograph in judged],
        [radiograph.patient for radiograph in judged],
        found,
    )
    text = probe_sentence(probe, found) if probe else ""
    return SiteFindings(association=found, probe=probe, probe_text=text, calls=calls)


def run_controls(
    test: Evaluation, validation: Evaluation, train_thumbnails: Array, train_truth: Array
) -> list[Control]:
    """All controls on the test images.

    Args:
        test: with occluded images.
        validation: its embeddings, with shuffled labels, are what the last control is fitted to.
        train_thumbnails: ``uint8`` N×32×32 of the training images.
        train_truth: their N class indices.
    """
    predictions = {
        "thumbnail": linear_predictions(pooled(train_thumbnails, 8), train_truth, pooled(test.thumbnails, 8)),
        "border": linear_predictions(border_pixels(train_thumbnails), train_truth, border_pixels(test.thumbnails)),
        "lungs_blacked_out": test.occluded[:, 0].argmax(axis=1),
        "lungs_only": test.occluded[:, 1].argmax(axis=1),
    }
    # A data set's own split may have validation images of one class only, in any order the same.
    if len(set(validation.truth.tolist())) > 1:
        predictions["shuffled"] = shuffled_predictions(validation.embeddings, validation.truth, test.embeddings)
    return judge_controls(test.judged, test.sites, predictions)


def warnings_of(core: dict[str, Any], sites: SiteFindings, controls: list[Control]) -> list[str]:
    """What must be known before any figure is believed, in plain words; empty if there is nothing."""
    warnings = []
    if sites.association is not None and sites.association.together:
        macro = {
            name: Interval.model_validate(figures["macro_f1"]) for name, figures in core["intervals"]["by_site"].items()
        }
        overall = Interval.model_validate(core["intervals"]["test"]["macro_f1"])
        warnings.append(site_warning(sites.association, macro, overall))
        if sites.probe is not None and sites.probe.accuracy.low > sites.probe.chance_from_class:
            warnings.append(sites.probe_text)
    return warnings + [f"Shortcut control: {control.text}" for control in controls if control.fired]


def write_document(
    folder: Path,
    core: dict[str, Any],
    sites: SiteFindings,
    controls: list[Control] | None = None,
    audit: Audit | None = None,
    failures: Failures | None = None,
    transfer: Transfer | None = None,
    novelty_rates: NoveltyRates | None = None,
) -> None:
    """Write ``metrics.json``: warnings first, and where there are any, the figures within each site next."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "sites": sites,
        "audit": audit,
        "failures": failures,
        "held_out_site": transfer,
        "novelty_rates": novelty_rates,
    }
    warnings = warnings_of(core, sites, controls or [])
    first = {"by_site": core["by_site"]} if warnings else {}
    document = {"warnings": warnings, **first, **core}
    document |= {name: part.model_dump() for name, part in parts.items() if part is not None}
    if controls is not None:
        document["controls"] = [control.model_dump() for control in controls]
    write_json(folder / "metrics.json", document)
