"""The table of a screening programme, by hand."""

import numpy as np
import pytest

from trainer.sites.programme import Row, Samples, Terms, programme_table
from trainer.sites.thresholds import Standing, just_below, lower_limit

ILL = np.linspace(0.3, 0.9, 20)
WELL = np.linspace(0.0, 0.6, 41)
OF = Samples(
    np.r_[ILL, WELL],
    np.arange(61) < 20,
    [f"p{i}" for i in range(61)],
)
TERMS = Terms(prevalence=0.1, cost_image=2.0, cost_test=10.0)


def chosen(terms: Terms, own: float | None = None) -> Row:
    (row,) = [row for row in programme_table(OF, terms, 0.8, 1, own) if row.use == "chosen"]
    return row


def test_a_row_says_what_1000_images_come_to() -> None:
    row = chosen(TERMS)
    assert row.threshold == just_below(0.3)
    sensitivity, specificity = 20 / 21, np.mean(row.threshold > WELL)
    assert row.sensitivity.value == pytest.approx(sensitivity)
    assert row.specificity.value == pytest.approx(specificity)
    assert row.at_least == pytest.approx(lower_limit(Standing(20, 1), 0.8))
    referred = 100 * sensitivity + 900 * (1 - specificity)
    assert row.referred is not None
    assert row.missed is not None
    assert row.positive_value is not None
    assert row.negative_value is not None
    assert row.cost is not None
    assert row.referred.value == pytest.approx(referred)
    assert row.missed.value == pytest.approx(100 * (1 - sensitivity))
    assert row.positive_value.value == pytest.approx(100 * sensitivity / referred)
    assert row.negative_value.value == pytest.approx(1 - 100 * (1 - sensitivity) / (1000 - referred))
    assert row.cost.value == pytest.approx((2000 + 10 * referred) / (100 * sensitivity))
    for figure in (row.referred, row.missed, row.positive_value, row.negative_value, row.cost):
        assert figure.low < figure.value < figure.high


def test_rows_ascend_and_hold_the_models_own_threshold() -> None:
    rows = programme_table(OF, TERMS, 0.8, 1, 0.62)
    thresholds = [row.threshold for row in rows]
    assert thresholds == sorted(thresholds)
    (own,) = [row for row in rows if row.use == "model's own"]
    assert own.threshold == 0.62
    assert own.sensitivity.value == pytest.approx(np.mean(ILL >= 0.62))
    assert own.specificity.value == 1
    assert own.at_least is None


def test_what_is_not_stated_is_not_reckoned() -> None:
    row = chosen(Terms())
    assert (row.positive_value, row.negative_value, row.referred, row.missed, row.cost) == (None,) * 5
    assert chosen(Terms(prevalence=0.1)).cost is None


def test_a_threshold_that_finds_nobody_has_no_cost_of_a_case_found() -> None:
    (own,) = [row for row in programme_table(OF, TERMS, 0.8, 1, 0.95) if row.use == "model's own"]
    assert own.sensitivity.value == 0
    assert own.cost is None
    assert own.positive_value is None
