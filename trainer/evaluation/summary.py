"""The whole judgement of a model, as the document ``metrics.json`` that report, card and manifest are views of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from bento.artifact import CalibrationFigures, Interval, OperatingPoint
from trainer.data.listing import Film
from trainer.data.manifest import Record
from trainer.evaluation.bootstrap import LEVEL, RESAMPLES, Judged, figures_with_intervals
from trainer.evaluation.calibration import reliability, uncalibrated
from trainer.evaluation.confounding import (
    Association,
    Call,
    Probe,
    association,
    cross_source_calls,
    probe_sentence,
    probe_source,
    source_warning,
)
from trainer.evaluation.cross_site import Transfer
from trainer.evaluation.data_audit import Audit
from trainer.evaluation.failures import Failures
from trainer.evaluation.novelty_rates import OutsideFound
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
from trainer.features.memmap import Array
from trainer.files import write_json


class Sources(BaseModel):
    """What is known of class and source."""

    association: Association | None
    """None where fewer than two sources are named."""
    probe: Probe | None
    probe_text: str
    calls: list[Call]
    """Films called a class that their source has none of, of films that the model was not fitted to."""


def core_document(test: Evaluation, temperature: float, points: list[OperatingPoint]) -> dict[str, Any]:
    """The figures that any set of judged films has: with intervals, by source, calibration, operating points."""
    judged, by_source = test.judged, test.judged_by_source
    found = figures_with_intervals(judged)
    return {
        "test": test.metrics.model_dump(),
        "by_source": {name: figures.model_dump() for name, figures in test.metrics_by_source.items()},
        "unreadable": test.unreadable,
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "resampled": "patients",
            "patients": len(set(judged.patients)),
            "test": _dump(found),
            "by_source": {name: _dump(figures_with_intervals(part)) for name, part in by_source.items()},
        },
        "calibration": _calibration(judged, found, temperature),
        "operating_points": [point.model_dump() for point in points],
        "operating_points_by_source": {
            point.label: {
                name: _dump(judge_threshold(part, point.label, point.threshold))
                for name, part in by_source.items()
            }
            for point in points
        },
    }


def _calibration(judged: Judged, after: dict[str, Interval], temperature: float) -> dict[str, Any]:
    """Figures and reliability diagrams with and without the temperature; ``after`` are those with it."""
    unscaled = judged.with_probabilities(uncalibrated(judged.probabilities, temperature))
    before = figures_with_intervals(unscaled)
    return {
        "temperature": temperature,
        "before": _dump({name: before[name] for name in CalibrationFigures.model_fields}),
        "after": _dump({name: after[name] for name in CalibrationFigures.model_fields}),
        "reliability_before": [one.model_dump() for one in reliability(unscaled.probabilities, judged.truth)],
        "reliability_after": [one.model_dump() for one in reliability(judged.probabilities, judged.truth)],
    }


def _dump(figures: dict[str, Interval]) -> dict[str, Any]:
    return {name: figure.model_dump() for name, figure in figures.items()}


def judge_sources(unseen: Sequence[Evaluation], films: Sequence[Film | Record]) -> Sources:
    """Association of class and source over ``films``; the probe works on films that the model was not fitted to."""
    found = association(
        [film.label for film in films], [film.source for film in films], [film.patient for film in films]
    )
    judged = [film for part in unseen for film in part.films]
    probe = probe_source(
        np.concatenate([part.embeddings for part in unseen]),
        [film.label for film in judged],
        [film.source for film in judged],
        [film.patient for film in judged],
    )
    parts = [part.judged for part in unseen]
    calls = cross_source_calls(
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities.argmax(axis=1) for part in parts]),
        unseen[0].classes,
        [film.source for film in judged],
        [film.patient for film in judged],
        found,
    )
    text = probe_sentence(probe, found) if probe else ""
    return Sources(association=found, probe=probe, probe_text=text, calls=calls)


def run_controls(
    test: Evaluation, validation: Evaluation, train_thumbnails: Array, train_truth: Array
) -> list[Control]:
    """All controls on the test films.

    Args:
        test: with occluded films.
        validation: its embeddings, with shuffled labels, are what the last control is fitted to.
        train_thumbnails: ``uint8`` N×32×32 of the training films.
        train_truth: their N class indices.
    """
    predictions = {
        "thumbnail": linear_predictions(pooled(train_thumbnails, 8), train_truth, pooled(test.thumbnails, 8)),
        "border": linear_predictions(
            border_pixels(train_thumbnails), train_truth, border_pixels(test.thumbnails)
        ),
        "lungs_blacked_out": test.occluded[:, 0].argmax(axis=1),
        "lungs_only": test.occluded[:, 1].argmax(axis=1),
    }
    # A data set's own split may have validation films of one class only, in any order the same.
    if len(set(validation.truth.tolist())) > 1:
        predictions["shuffled"] = shuffled_predictions(
            validation.embeddings, validation.truth, test.embeddings
        )
    return judge_controls(test.judged, test.sources, predictions)


def warnings_of(core: dict[str, Any], sources: Sources, controls: list[Control]) -> list[str]:
    """What must be known before any figure is believed, in plain words; empty if there is nothing."""
    warnings = []
    if sources.association is not None and sources.association.together:
        macro = {
            name: Interval.model_validate(figures["macro_f1"])
            for name, figures in core["intervals"]["by_source"].items()
        }
        overall = Interval.model_validate(core["intervals"]["test"]["macro_f1"])
        warnings.append(source_warning(sources.association, macro, overall))
        if sources.probe is not None and sources.probe.accuracy.low > sources.probe.chance_from_class:
            warnings.append(sources.probe_text)
    return warnings + [f"Shortcut control: {control.text}" for control in controls if control.fired]


def write_document(
    folder: Path,
    core: dict[str, Any],
    sources: Sources,
    controls: list[Control] | None = None,
    audit: Audit | None = None,
    failures: Failures | None = None,
    transfer: Transfer | None = None,
    outside: OutsideFound | None = None,
) -> None:
    """Write ``metrics.json``: warnings first, and where there are any, the figures within each source next."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "sources": sources,
        "audit": audit,
        "failures": failures,
        "out_of_source": transfer,
        "outside": outside,
    }
    warnings = warnings_of(core, sources, controls or [])
    first = {"by_source": core["by_source"]} if warnings else {}
    document = {"warnings": warnings, **first, **core}
    document |= {name: part.model_dump() for name, part in parts.items() if part is not None}
    if controls is not None:
        document["controls"] = [control.model_dump() for control in controls]
    write_json(folder / "metrics.json", document)
