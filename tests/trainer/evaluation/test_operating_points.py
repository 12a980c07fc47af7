"""Operating points: chosen on validation alone, for the sensitivity that was asked for."""

import numpy as np
import pytest

from bento.artifact import Interval, OperatingPoint
from tests.support.judged import CLASSES, judged
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.operating_points import (
    choose_threshold,
    judge_threshold,
    meets_who_profile,
    operating_points,
)


@pytest.mark.parametrize(
    ("target", "caught"),
    [
        pytest.param(0.9, 9, id="nine of ten"),
        pytest.param(0.85, 9, id="rounded up: at least what was asked for"),
        pytest.param(1.0, 10, id="all of them"),
        pytest.param(0.1, 1, id="one"),
    ],
)
def test_the_threshold_catches_just_the_wanted_share(target: float, caught: int) -> None:
    scores = np.r_[np.linspace(0.1, 1.0, 10), np.linspace(0.05, 0.55, 20)]
    positive = np.arange(30) < 10
    threshold = choose_threshold(scores, positive, target)
    assert (scores[positive] >= threshold).sum() == caught


def test_the_threshold_is_as_high_as_it_can_be_and_lies_between_two_scores() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.1])
    positive = np.array([True, True, False, False, False])
    assert choose_threshold(scores, positive, 1.0) == pytest.approx(0.7)


def test_thresholds_do_not_depend_on_test_labels() -> None:
    validation, test = judged(seed=1), judged(seed=2)
    shuffled = JudgedImages(CLASSES, (test.truth + 1) % 3, test.probabilities, test.patients)
    points = operating_points(validation, test, 0.9, "NORMAL")
    others = operating_points(validation, shuffled, 0.9, "NORMAL")
    assert [point.label for point in points] == ["PNEUMONIA", "TUBERCULOSIS"]
    assert [point.threshold for point in points] == [point.threshold for point in others]
    assert [point.test_sensitivity for point in points] != [point.test_sensitivity for point in others]


def test_validation_reaches_the_target_and_test_figures_are_counted_by_hand() -> None:
    validation, test = judged(seed=1), judged(seed=2)
    for point in operating_points(validation, test, 0.8, "NORMAL"):
        i = CLASSES.index(point.label)
        assert point.validation_sensitivity >= 0.8
        flagged, ill = test.probabilities[:, i] >= point.threshold, test.truth == i
        assert point.test_sensitivity is not None
        assert point.test_specificity is not None
        assert point.test_sensitivity.value == pytest.approx(flagged[ill].mean())
        assert point.test_specificity.value == pytest.approx((~flagged[~ill]).mean())
        assert point.test_sensitivity.low < point.test_sensitivity.value < point.test_sensitivity.high


def test_a_class_without_validation_images_gets_no_point() -> None:
    validation = judged(seed=1)
    part = validation.subset(validation.truth != 2)
    assert [point.label for point in operating_points(part, judged(), 0.9, "NORMAL")] == ["PNEUMONIA"]


def test_images_without_the_class_tell_a_specificity_only() -> None:
    test = judged()
    assert set(judge_threshold(test.subset(test.truth != 2), "TUBERCULOSIS", 0.5)) == {"specificity"}


@pytest.mark.parametrize(
    ("label", "sensitivity", "specificity", "met"),
    [
        pytest.param("TUBERCULOSIS", 0.9, 0.7, True, id="just both"),
        pytest.param("TUBERCULOSIS", 0.89, 0.99, False, id="too few found"),
        pytest.param("TUBERCULOSIS", 0.99, 0.69, False, id="too many false alarms"),
        pytest.param("TUBERCULOSIS", None, 0.9, None, id="no image to tell by"),
        pytest.param("PNEUMONIA", 0.99, 0.99, None, id="a profile for tuberculosis alone"),
    ],
)
def test_whos_profile_asks_for_both(
    label: str, sensitivity: float | None, specificity: float, met: bool | None
) -> None:
    def exactly(value: float | None) -> Interval | None:
        return None if value is None else Interval(value=value, low=value, high=value)

    point = OperatingPoint(
        label=label,
        threshold=0.5,
        target_sensitivity=0.9,
        validation_sensitivity=0.9,
        validation_specificity=0.9,
        test_sensitivity=exactly(sensitivity),
        test_specificity=exactly(specificity),
    )
    assert meets_who_profile(point) is met
