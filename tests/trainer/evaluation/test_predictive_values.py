"""Predictive values at a stated prevalence: by hand, at the bounds, and how often their intervals hold the truth."""

from functools import cache

import numpy as np
import pytest

from bento.artifact import ClassMetrics, Interval, OperatingPoint, TestMetrics
from trainer.errors import UserError
from trainer.evaluation.predictive_values import (
    PredictiveValues,
    check_prevalence,
    predictive_text,
    predictive_values,
)
from trainer.evaluation.shares import share_limits
from trainer.settings import EvaluateSettings, shares_of


@cache
def rate(hits: int, images: int) -> Interval:
    low, high = share_limits(hits / images, images)
    return Interval(value=hits / images, low=low, high=high)


def at(found: tuple[int, int], spared: tuple[int, int], prevalence: float) -> PredictiveValues:
    """Of a test with so many of the ill flagged, and so many of the others not."""
    counts = {"ILL": found[1], "NORMAL": spared[1]}
    metrics = TestMetrics(
        images=sum(counts.values()),
        accuracy=0,
        macro_f1=0,
        weighted_f1=0,
        cross_entropy=0,
        per_class={name: ClassMetrics(precision=0, recall=0, f1=0, support=count) for name, count in counts.items()},
        confusion_matrix=[],
    )
    point = OperatingPoint(
        label="ILL",
        threshold=0.5,
        target_sensitivity=0.9,
        validation_sensitivity=0.9,
        validation_specificity=0.9,
        test_sensitivity=rate(*found),
        test_specificity=rate(*spared),
    )
    (one,) = predictive_values([point], [], metrics, {"": prevalence})
    return one


def test_the_values_are_those_of_a_table_drawn_up_by_hand() -> None:
    # Of 10,000, 200 are ill, of whom 180 are flagged; of the 9,800 others 2,940 are.
    one = at((90, 100), (70, 100), 0.02)
    assert one.positive is not None
    assert one.negative is not None
    assert one.positive.value == pytest.approx(180 / (180 + 2940))
    assert one.negative.value == pytest.approx(6860 / (6860 + 20))
    assert one.positive.low < one.positive.value < one.positive.high
    assert (one.with_disease, one.without_disease) == (100, 100)


def test_no_error_in_few_images_is_no_certainty() -> None:
    one = at((6, 6), (12, 12), 0.02)
    assert one.positive is not None
    assert one.negative is not None
    assert (one.positive.value, one.positive.high) == (1.0, 1.0)
    assert one.positive.low < 0.15
    assert one.negative.low < 1


def test_a_flag_that_is_never_raised_is_worth_nothing_that_can_be_told() -> None:
    one = at((0, 6), (12, 12), 0.02)
    assert one.positive is None
    assert one.negative is not None
    assert "of the flagged – have it" in predictive_text([one])


@pytest.mark.parametrize(("ill", "others"), [(10, 20), (50, 100), (500, 500)])
@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.7), (0.95, 0.95), (0.7, 0.99)])
def test_nineteen_intervals_in_twenty_hold_the_truth(
    ill: int, others: int, sensitivity: float, specificity: float
) -> None:
    rng = np.random.default_rng(0)
    truth = 0.05 * sensitivity / (0.05 * sensitivity + 0.95 * (1 - specificity))
    found = [
        at((int(rng.binomial(ill, sensitivity)), ill), (int(rng.binomial(others, specificity)), others), 0.05).positive
        for _ in range(400)
    ]
    held = [one.low <= truth <= one.high for one in found if one is not None]
    assert np.mean(held) >= 0.92


def test_prevalence_is_a_share_of_each_disease_or_of_all() -> None:
    assert shares_of("0.02") == {"": 0.02}
    assert shares_of("tuberculosis=0.02, PNEUMONIA=0.1") == {"TUBERCULOSIS": 0.02, "PNEUMONIA": 0.1}
    assert shares_of(None) == {}


@pytest.mark.parametrize("wrong", ["2", "0", "1", "-0.1", "nan", "much", "A=0.1,A=0.2", "", "A=0.1,,B=0.2"])
def test_what_is_no_share_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="give a share between 0 and 1"):
        EvaluateSettings(prevalence=wrong)


def test_a_prevalence_of_no_disease_of_the_model_is_refused() -> None:
    with pytest.raises(UserError, match=r"--prevalence CAT=…: no disease of this model; its diseases are TUBERCULOSIS"):
        check_prevalence({"CAT": 0.1}, ["NORMAL", "TUBERCULOSIS"], "NORMAL")
