"""Operating points: chosen on validation alone, for the sensitivity that was asked for."""

import numpy as np
import pytest

from bento.artifact import Interval, OperatingPoint
from tests.support.judged import CLASSES, judged
from trainer.evaluation.bootstrap import JudgedImages
from trainer.evaluation.metrics import compute_metrics
from trainer.evaluation.operating_points import (
    choose_threshold,
    judge_threshold,
    least_images,
    operating_points,
    who_verdict,
)
from trainer.evaluation.shares import share_limits, size_to_tell


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
    points, _ = operating_points(validation, test, 0.9, "NORMAL")
    others, _ = operating_points(validation, shuffled, 0.9, "NORMAL")
    assert [point.label for point in points] == ["PNEUMONIA", "TUBERCULOSIS"]
    assert [point.threshold for point in points] == [point.threshold for point in others]
    assert [point.test_sensitivity for point in points] != [point.test_sensitivity for point in others]


def test_validation_reaches_the_target_and_test_figures_are_counted_by_hand() -> None:
    validation, test = judged(seed=1), judged(seed=2)
    for point in operating_points(validation, test, 0.8, "NORMAL")[0]:
        i = CLASSES.index(point.label)
        assert (point.validation_positives, point.validation_negatives) == (
            (validation.truth == i).sum(),
            (validation.truth == 0).sum(),
        )
        assert point.validation_sensitivity >= 0.8
        scores = test.probabilities[:, i] / (test.probabilities[:, i] + test.probabilities[:, 0])
        flagged, ill = scores >= point.threshold, test.truth == i
        assert point.test_sensitivity is not None
        assert point.test_specificity is not None
        assert point.test_sensitivity.value == pytest.approx(flagged[ill].mean())
        assert point.test_specificity.value == pytest.approx((~flagged[~ill]).mean())
        assert point.test_sensitivity.low < point.test_sensitivity.value < point.test_sensitivity.high


@pytest.mark.parametrize(("left", "target"), [(0, 0.9), (9, 0.9), (3, 0.75), (19, 1.0)])
def test_a_class_of_too_few_validation_images_gets_no_point_and_the_reason(left: int, target: float) -> None:
    validation = judged(seed=1)
    surplus = (validation.truth == 2) & (np.cumsum(validation.truth == 2) > left)
    points, without = operating_points(validation.subset(~surplus), judged(), target, "NORMAL")
    assert [point.label for point in points] == ["PNEUMONIA"]
    assert without.keys() == {"TUBERCULOSIS"}
    assert f"{left} validation images of TUBERCULOSIS" in without["TUBERCULOSIS"]


def test_one_image_more_is_enough() -> None:
    validation = judged(seed=1)
    surplus = (validation.truth == 2) & (np.cumsum(validation.truth == 2) > least_images(0.9))
    points, without = operating_points(validation.subset(~surplus), judged(), 0.9, "NORMAL")
    assert [point.label for point in points] == ["PNEUMONIA", "TUBERCULOSIS"]
    assert without == {}


def test_without_a_normal_class_the_score_is_the_probability() -> None:
    points, _ = operating_points(judged(seed=1), judged(seed=2), 0.9, "HEALTHY")
    assert {point.reference for point in points} == {None}
    assert [point.label for point in points] == CLASSES


def test_images_without_the_class_tell_a_specificity_only() -> None:
    test = judged()
    assert set(judge_threshold(test.subset(test.truth != 2), "TUBERCULOSIS", 0.5)) == {"specificity"}


FEW, MANY = (20, 30), (2000, 3000)
"""Images with and without the disease."""


@pytest.mark.parametrize(
    ("label", "sensitivity", "specificity", "images", "verdict"),
    [
        pytest.param("TUBERCULOSIS", 0.95, 0.75, MANY, "yes", id="both lower limits reach it"),
        pytest.param("TUBERCULOSIS", 0.85, 0.99, MANY, "no", id="too few are found"),
        pytest.param("TUBERCULOSIS", 0.99, 0.65, MANY, "no", id="too many false alarms"),
        pytest.param("TUBERCULOSIS", 0.5, 0.99, FEW, "no", id="far too few are found, which few images tell"),
        pytest.param(
            "TUBERCULOSIS",
            1.0,
            1.0,
            FEW,
            "can't tell with 20 images with the disease and 30 without it; "
            "at these shares it would take about 29 and 30",
            id="all of a few are right",
        ),
        pytest.param(
            "TUBERCULOSIS",
            0.9,
            0.9,
            FEW,
            "can't tell with 20 images with the disease and 30 without it, nor with more, at these shares",
            id="just as much as is asked for",
        ),
        pytest.param("TUBERCULOSIS", None, 0.9, FEW, None, id="no image to tell by"),
        pytest.param("PNEUMONIA", 0.99, 0.99, FEW, None, id="a profile for tuberculosis alone"),
    ],
)
def test_whos_profile_is_met_only_where_the_intervals_say_so(
    label: str, sensitivity: float | None, specificity: float, images: tuple[int, int], verdict: str | None
) -> None:
    def rate(value: float | None, count: int) -> Interval | None:
        if value is None:
            return None
        low, high = share_limits(value, count)
        return Interval(value=value, low=low, high=high)

    point = OperatingPoint(
        label=label,
        threshold=0.5,
        target_sensitivity=0.9,
        validation_sensitivity=0.9,
        validation_specificity=0.9,
        test_sensitivity=rate(sensitivity, images[0]),
        test_specificity=rate(specificity, images[1]),
    )
    truth = np.repeat([2, 0], images)
    assert who_verdict(point, compute_metrics(truth, np.eye(3)[truth], CLASSES)) == verdict


def test_how_many_images_it_takes_is_enough_and_one_less_is_not() -> None:
    images = size_to_tell(0.95, 0.9)
    assert images is not None
    assert share_limits(0.95, images)[0] >= 0.9 > share_limits(0.95, images - 1)[0]
