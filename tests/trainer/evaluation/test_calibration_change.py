"""Whether temperature scaling made probabilities better or worse is told where the images can tell it."""

import numpy as np
import pytest

from bento.artifact import CalibrationMetrics, Interval
from tests.support.judged import judged
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.calibration import uncalibrated
from trainer.evaluation.calibration_change import calibration_change, is_worse, scaling_verdict

ZERO = Interval(value=0, low=0, high=0)


def changed(temperature: float, radiographs: int) -> tuple[bool, str]:
    """The verdict on scaling a fair model's probabilities by a temperature."""
    before = judged(radiographs)
    after = before.with_probabilities(uncalibrated(before.probabilities, 1 / temperature))
    change = calibration_change(before, after)
    metrics = _metrics(before), _metrics(after)
    return is_worse(metrics[0], change, radiographs), scaling_verdict(temperature, *metrics, change, before)


def _metrics(images: JudgedImages) -> CalibrationMetrics:
    same = JudgedImages(images.classes, images.truth, np.full_like(images.probabilities, 1 / 3), images.patients)
    change = calibration_change(same, images)
    flat = np.log(3)
    return change.model_copy(update={"cross_entropy": Interval(value=flat + change.cross_entropy.value, low=0, high=9)})


def test_an_extreme_temperature_made_the_probabilities_worse() -> None:
    worse, text = changed(0.05, 300)
    assert worse
    assert "T = 0.05" in text
    assert "made the probabilities worse on these 300 test images: cross-entropy" in text
    assert "Do not take a probability at its word." in text


def test_from_a_handful_of_images_nothing_is_told() -> None:
    worse, text = changed(0.05, 8)
    assert not worse
    assert "made no difference to the probabilities that can be told on these 8 test images" in text


@pytest.mark.parametrize("rise", [0.001, 0.2])
def test_a_rise_beyond_chance_that_is_none_worth_mentioning_is_no_warning(rise: float) -> None:
    before = CalibrationMetrics(ece=ZERO, brier=ZERO, cross_entropy=Interval(value=1, low=0.9, high=1.1))
    change = CalibrationMetrics(ece=ZERO, brier=ZERO, cross_entropy=Interval(value=rise, low=rise / 2, high=2 * rise))
    assert is_worse(before, change, 100) == (rise > 0.1)
