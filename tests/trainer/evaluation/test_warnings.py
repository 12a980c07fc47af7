"""Warnings: what must be known first comes first, each by itself, and none without a reason."""

from pathlib import Path
from typing import Any

import pytest

from bento.artifact import ClassMetrics
from tests.support.runs import Trained
from trainer.evaluation.seen_images import SeenImages
from trainer.evaluation.summary import EvaluationSummary, read_summary
from trainer.evaluation.warnings import FEW_IMAGES, NO_SITE, find_warnings


@pytest.fixture
def summary(trained: Trained) -> EvaluationSummary:
    """A run's, with sites and nothing to warn of."""
    summary = read_summary(trained.run.folder)
    many = {name: metrics.model_copy(update={"support": 100}) for name, metrics in summary.test.per_class.items()}
    points = [
        point.model_copy(update={"validation_positives": 100, "validation_negatives": 100})
        for point in summary.operating_points
    ]
    quiet: dict[str, Any] = {
        "test": summary.test.model_copy(update={"per_class": many}),
        "operating_points": points,
        "controls": [],
        "file_controls": [],
        "calibration": summary.calibration.model_copy(update={"worse": False}),
        "sites": summary.sites.model_copy(update={"association": None}),
        "no_threshold": {},
    }
    return summary.model_copy(update=quiet)


def with_support(summary: EvaluationSummary, label: str, images: int) -> EvaluationSummary:
    one = ClassMetrics(precision=0, recall=0, f1=0, support=images)
    test = summary.test.model_copy(update={"per_class": summary.test.per_class | {label: one}})
    return summary.model_copy(update={"test": test})


def test_nothing_is_warned_of_where_there_is_nothing(summary: EvaluationSummary) -> None:
    assert find_warnings(summary) == []


def test_that_no_site_is_known_comes_first(summary: EvaluationSummary) -> None:
    seen = SeenImages(checked=False, listed=0, given=9)
    found = find_warnings(summary.model_copy(update={"by_site": {}, "seen_images": seen}))
    assert found == [NO_SITE, seen.sentence]
    assert "manifest.csv" in NO_SITE


def test_few_images_of_a_class_are_named_with_what_they_can_tell(summary: EvaluationSummary) -> None:
    (warning,) = find_warnings(with_support(summary, "TUBERCULOSIS", 6))
    assert "6 of TUBERCULOSIS" in warning
    assert "could as well be 48 % to > 99 %" in warning
    assert find_warnings(with_support(summary, "TUBERCULOSIS", FEW_IMAGES)) == []


def test_an_absent_class_is_unknown(summary: EvaluationSummary) -> None:
    gone = with_support(summary, "PNEUMONIA", 0)
    assert find_warnings(gone) == ["No test image is PNEUMONIA: how well the model tells that is not known."]
    seen = SeenImages(checked=True, listed=9, given=9, same_file=3, emptied=["PNEUMONIA"])
    (warning,) = find_warnings(gone.model_copy(update={"seen_images": seen}))
    assert "No image of PNEUMONIA is left" in warning


def test_what_validation_was_too_small_for_is_said_of_each_class(summary: EvaluationSummary) -> None:
    few = summary.operating_points[0].model_copy(update={"validation_positives": 12})
    changed = {"operating_points": [few], "no_threshold": {"TUBERCULOSIS": "6 validation images"}}
    found = find_warnings(summary.model_copy(update=changed))
    assert found[0] == "TUBERCULOSIS has no threshold and is never flagged: 6 validation images."
    assert found[1].startswith(
        "The threshold of PNEUMONIA was chosen on few validation images, 12 of PNEUMONIA and 100 of NORMAL"
    )


def test_images_without_a_site_are_counted(summary: EvaluationSummary) -> None:
    sites = dict(list(summary.by_site.items())[:1])
    (warning,) = find_warnings(summary.model_copy(update={"by_site": sites}))
    assert f"of the {summary.test.images} test images name no hospital" in warning


def test_a_warning_of_worse_calibration_is_the_verdict(summary: EvaluationSummary) -> None:
    worse = summary.calibration.model_copy(update={"worse": True, "verdict": "Temperature scaling made it worse."})
    assert find_warnings(summary.model_copy(update={"calibration": worse})) == ["Temperature scaling made it worse."]


def test_no_summary_of_a_former_version_has_a_verdict_on_scaling() -> None:
    former = read_summary(Path(__file__).parent / "former_version")
    assert former.calibration.change is None
    assert former.calibration.verdict == ""
    assert former.predictive_values == []
