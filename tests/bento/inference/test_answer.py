"""An answer is a view of probabilities and manifest."""

from pathlib import Path

import numpy as np
import pytest

from bento.artifact import load_manifest
from bento.inference.answer import PredictResponse
from bento.inference.input_warnings import InputAssessment
from tests.support.artifacts import make_site, write_site

NOTHING_AGAINST_IT = InputAssessment(score=None, in_distribution=None, warnings=())


@pytest.mark.parametrize(
    ("probabilities", "flagged"),
    [
        pytest.param([0.7, 0.2, 0.1], ["PNEUMONIA"], id="a threshold that is just met flags the class"),
        pytest.param([0.4, 0.3, 0.3], ["PNEUMONIA", "TUBERCULOSIS"], id="two classes may be flagged at once"),
        pytest.param([0.9, 0.05, 0.05], [], id="an image may have no flag"),
    ],
)
def test_flags_compare_each_class_with_its_own_threshold(
    artifact: Path, probabilities: list[float], flagged: list[str]
) -> None:
    # float64, as 0.2 in float32 is a little more than the manifest's 0.2.
    answer = PredictResponse.of(np.array(probabilities), NOTHING_AGAINST_IT, load_manifest(artifact))
    assert [flag.label for flag in answer.flags] == ["PNEUMONIA", "TUBERCULOSIS"]
    assert [flag.label for flag in answer.flags if flag.flagged] == flagged
    assert answer.predictions[0].label == "NORMAL"


def test_a_site_flags_by_its_own_threshold_and_gives_a_probability_that_rises_with_the_score(artifact: Path) -> None:
    write_site(artifact, "test-1")
    manifest = load_manifest(artifact)
    flags = [
        PredictResponse.of(np.array([1 - score, 0, score]), NOTHING_AGAINST_IT, manifest).flags[1]
        for score in (0.0, 0.3, 0.6, 0.9, 1.0)
    ]
    assert [flag.flagged for flag in flags] == [False, False, True, True, True]
    assert {(flag.threshold, flag.target_sensitivity) for flag in flags} == {(0.6, 0.95)}
    probabilities = [flag.probability or 0 for flag in flags]
    assert probabilities == sorted(set(probabilities))
    assert probabilities[0] > 0
    assert probabilities[-1] < 1


@pytest.mark.parametrize("calibrated", [False, True])
def test_without_a_site_or_its_prevalence_there_is_no_probability(artifact: Path, calibrated: bool) -> None:
    if calibrated:
        fits = [fit.model_copy(update={"prevalence": None}) for fit in make_site("").recalibration]
        write_site(artifact, "test-1", recalibration=fits)
    answer = PredictResponse.of(np.array([0.5, 0.2, 0.3]), NOTHING_AGAINST_IT, load_manifest(artifact))
    assert [flag.probability for flag in answer.flags] == [None, None]
