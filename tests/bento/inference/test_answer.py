"""An answer is a view of probabilities and manifest."""

from pathlib import Path

import numpy as np
import pytest

from bento.artifact import load_manifest
from bento.inference.answer import PredictResponse
from bento.inference.input_warnings import InputAssessment

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
