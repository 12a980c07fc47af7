"""The report's three sentences, for each kind of evaluation."""

from typing import Any

import numpy as np
import pytest

from bento.artifact import CalibrationMetrics, Interval, OperatingPoint
from tests.support.judged import CLASSES
from trainer.evaluation.confounding import Association, SiteFindings
from trainer.evaluation.cross_site import CrossSite, PresentClasses
from trainer.evaluation.data_audit import Audit
from trainer.evaluation.metrics import compute_metrics
from trainer.evaluation.summary import CalibrationFindings, EvaluationSummary, Intervals
from trainer.reporting.verdict import reached, verdict

HALF = Interval(value=0.5, low=0.4, high=0.6)


def metrics_of(*labels: str) -> Any:
    """Metrics of a model that calls each of these images normal."""
    truth = np.array([CLASSES.index(label) for label in labels])
    return compute_metrics(truth, np.tile([1.0, 0.0, 0.0], (len(truth), 1)), CLASSES)


def macro_f1(value: float) -> dict[str, Interval]:
    return {"macro_f1": Interval(value=value, low=value - 0.1, high=value + 0.1)}


def point(low: float, high: float) -> OperatingPoint:
    found = Interval(value=(low + high) / 2, low=low, high=high)
    return OperatingPoint(
        label="TUBERCULOSIS",
        threshold=0.5,
        target_sensitivity=0.9,
        validation_sensitivity=0.9,
        validation_specificity=0.9,
        test_sensitivity=found,
        test_specificity=found,
    )


def summary(labelled: dict[str, tuple[str, ...]] | None = None, **parts: Any) -> EvaluationSummary:
    """An evaluation of the images of these labels at each site; 40 of no known site by default."""
    by_site = {name: metrics_of(*labels) for name, labels in (labelled or {}).items()}
    labels = [label for site in labelled.values() for label in site] if labelled else [*CLASSES, CLASSES[2]] * 10
    calibration = CalibrationMetrics(ece=HALF, brier=HALF, cross_entropy=HALF)
    return EvaluationSummary(
        by_site=by_site,
        test=metrics_of(*labels),
        unreadable={},
        intervals=Intervals(
            patients=30,
            test=macro_f1(0.8),
            by_site={name: macro_f1(0.7 - 0.1 * i) for i, name in enumerate(by_site)},
        ),
        calibration=CalibrationFindings(
            temperature=1, before=calibration, after=calibration, reliability_before=[], reliability_after=[]
        ),
        **({"operating_points": [], "operating_points_by_site": {}, "sites": NO_SITES} | parts),
    )


NO_SITES = SiteFindings(association=None, probe=None, probe_text="")
TOGETHER = SiteFindings(
    association=Association(cramers_v=0.9, mutual_information=1, patients={}), probe=None, probe_text=""
)
TWO = {"north": ("NORMAL", "TUBERCULOSIS"), "south": ("NORMAL", "NORMAL", "TUBERCULOSIS")}
ONE_CLASS = {"north": ("NORMAL", "TUBERCULOSIS"), "south": ("TUBERCULOSIS",)}


def held_out(drop: float) -> CrossSite:
    return CrossSite(
        site="west",
        classes=CLASSES,
        radiographs=70,
        patients=60,
        left_out={},
        seen_sites=macro_f1(0.8),
        held_out_site=PresentClasses(classes=CLASSES, metrics=macro_f1(0.4), against_normal={}),
        drop=Interval(value=drop, low=drop - 0.1, high=drop + 0.1),
        confusion_matrix=[[20, 0, 0], [10, 10, 0], [5, 0, 25]],
        operating_points={"TUBERCULOSIS": {"sensitivity": Interval(value=0.6, low=0.5, high=0.7)}},
    )


def audit(patients_across: int, across: int) -> Audit:
    counts = {"patients_across": patients_across, "across": across, "exact_pairs": 0, "near_pairs": across}
    empty: dict[str, Any] = {"counts": {}, "patients": {}, "sizes": {}, "unreadable": {}, "licences": {}, "pairs": []}
    return Audit(**empty, **counts, different_labels=0, leak=None)


@pytest.mark.parametrize(
    ("evaluation", "without_patient", "sentence"),
    [
        (summary(), 0, "Judged on 40 test images of 30 patients of no known site."),
        (summary(), 40, "Judged on 40 test images, no patient known, of no known site."),
        (summary(), 7, "Judged on 40 test images of 30 patients (7 images of no known patient) of no known site."),
        (summary(TWO), 0, "Judged on 5 test images of 30 patients of 2 sites (north 2, south 3)."),
        (summary({"north": TWO["north"]}), 0, "Judged on 2 test images of 30 patients of 1 site (north 2)."),
        (summary({str(i): ("NORMAL",) for i in range(9)}), 0, "Judged on 9 test images of 30 patients of 9 sites."),
        (
            summary(cross_site=held_out(0.4)),
            0,
            "Judged on 40 test images of 30 patients of no known site, and on 70 images of west, a site that it has "
            "never seen.",
        ),
    ],
)
def test_the_first_sentence_says_what_was_judged(
    evaluation: EvaluationSummary, without_patient: int, sentence: str
) -> None:
    assert verdict(evaluation, False, without_patient).judged == sentence


@pytest.mark.parametrize(
    ("evaluation", "start"),
    [
        (summary(), "Macro F1 is 0.80 (0.70 to 0.90), n = 40; "),
        (summary({"north": TWO["north"]}), "Macro F1 is 0.80 (0.70 to 0.90), n = 2; "),
        (summary(TWO), "Macro F1 within one site is, where it is lowest, 0.60 (0.50 to 0.70), n = 3 (south); "),
        (summary(ONE_CLASS), "Macro F1 within one site is 0.70 (0.60 to 0.80), n = 2 (north); "),
        (summary(TWO, cross_site=held_out(0.4)), "Macro F1 at west is 0.40 (0.30 to 0.50), n = 70; "),
    ],
)
def test_the_second_sentence_leads_with_the_metric_that_matters(evaluation: EvaluationSummary, start: str) -> None:
    assert verdict(evaluation, False, 0).result.startswith(start)


@pytest.mark.parametrize(
    ("parts", "end"),
    [
        (
            {"operating_points": [point(0.92, 0.98)]},
            "is the wanted sensitivity of 90 % reached? TUBERCULOSIS: yes, 0.95 (0.92 to 0.98), n = 20.",
        ),
        (
            {"operating_points": [point(0.5, 0.98)]},
            "is the wanted sensitivity of 90 % reached? TUBERCULOSIS: can't tell, 0.74 (0.50 to 0.98), n = 20.",
        ),
        (
            {"operating_points": [point(0.5, 0.7)]},
            "is the wanted sensitivity of 90 % reached? TUBERCULOSIS: no, 0.60 (0.50 to 0.70), n = 20.",
        ),
        (
            {"operating_points": [point(0.5, 0.7).model_copy(update={"test_sensitivity": None})]},
            "is the wanted sensitivity of 90 % reached? TUBERCULOSIS: can't tell, no test image of it.",
        ),
        (
            {"operating_points": [point(0.92, 0.98)], "cross_site": held_out(0.4)},
            "is the wanted sensitivity of 90 % reached? TUBERCULOSIS: no, 0.60 (0.50 to 0.70), n = 30.",
        ),
        ({"no_threshold": {"PNEUMONIA": "too few"}}, "; PNEUMONIA has no threshold."),
        ({}, "; no disease has a threshold."),
    ],
)
def test_the_second_sentence_ends_with_each_diseases_sensitivity(parts: dict[str, Any], end: str) -> None:
    assert verdict(summary(**parts), False, 0).result.endswith(end)


@pytest.mark.parametrize(
    ("evaluation", "synthetic", "start"),
    [
        (summary(TWO, sites=TOGETHER, audit=audit(3, 0)), True, "Synthetic sample data, no clinical meaning"),
        (summary(TWO, sites=TOGETHER, audit=audit(3, 0)), False, "3 patients have images on two sides of the split"),
        (summary(TWO, sites=TOGETHER, cross_site=held_out(0.4)), False, "Class and site go together"),
        (summary(TWO, cross_site=held_out(0.4)), False, "It does worse at west"),
        (summary(TWO, cross_site=held_out(0.05), warnings=["Few images. Of one."]), False, "Few images."),
        (summary(audit=audit(0, 2)), False, "2 pairs of duplicates lie on two sides of the split"),
        (summary(warnings=["Few images."]), False, "No image names its site"),
        (summary(TWO, warnings=["Few images. Of a class."]), False, "Few images."),
        (summary({"north": TWO["north"]}), False, "All images are of one site"),
        (summary(TWO), False, "Nothing that was checked speaks against it"),
    ],
)
def test_the_third_sentence_is_the_gravest_doubt(evaluation: EvaluationSummary, synthetic: bool, start: str) -> None:
    sentence = verdict(evaluation, synthetic, 0).doubt
    assert sentence.startswith(start)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.9, 1.0, "yes"),
        (0.89, 0.91, "can't tell"),
        (0.89, 0.9, "can't tell"),
        (0.1, 0.89, "no"),
        (1.0, 1.0, "can't tell"),
    ],
)
def test_a_target_is_reached_or_missed_only_by_a_whole_interval(low: float, high: float, answer: str) -> None:
    assert reached(Interval(value=low, low=low, high=high), 0.9) == answer
