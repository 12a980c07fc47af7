"""Intervals of shares: they hold the truth as often as they say, at the bounds and for few patients too."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bento.artifact import Interval
from tests.benchmarks.coverage import SHARES, exact_coverage, simulated_coverage
from trainer.evaluation.shares import (
    effective_size,
    never_certain,
    rarer_patients,
    share_interval,
    share_limits,
    size_of,
    size_to_tell,
)


@pytest.mark.parametrize("size", [5, 8, 12, 20, 60, 200, 500])
def test_intervals_hold_the_truth_as_often_as_they_say(size: int) -> None:
    coverage = exact_coverage(size, SHARES)
    assert 0.93 <= coverage.mean() <= 0.98
    # Hits are whole numbers: at some shares the coverage must be off. Not by much, and hardly ever too low.
    assert np.percentile(coverage, 5) >= 0.93
    assert coverage.min() >= 0.915


@pytest.mark.parametrize(("patients", "share"), [(20, 0.8), (60, 0.9)])
def test_images_of_one_patient_count_for_less(patients: int, share: float) -> None:
    assert 0.92 <= simulated_coverage(patients, share, 400) <= 0.985


@pytest.mark.parametrize("count", [1, 6, 100])
def test_no_share_is_certain(count: int) -> None:
    hits, patients = np.ones(count, dtype=bool), [str(i) for i in range(count)]
    all_right, none_right = share_interval(hits, patients), share_interval(~hits, patients)
    assert (all_right.value, all_right.high) == (1, 1)
    assert all_right.low == pytest.approx(0.05 ** (1 / count))
    assert none_right.low == 0
    assert none_right.high == pytest.approx(1 - all_right.low)


def test_the_interval_lies_within_clopper_and_pearsons_and_close_to_it() -> None:
    low, high = share_limits(0.9, 40)
    outer = binomtest(36, 40).proportion_ci()
    assert outer.low < low < 0.9 < high < outer.high
    assert high - low == pytest.approx(outer.high - outer.low, rel=0.1)


def test_copies_of_an_image_tell_nothing_more() -> None:
    hits = np.arange(40) % 4 > 0
    assert effective_size(hits, [str(i) for i in range(40)]) == 40
    copies = effective_size(np.repeat(hits, 5), [str(i // 5) for i in range(200)])
    assert 35 < copies < 40
    assert effective_size(np.ones(200, dtype=bool), [str(i // 5) for i in range(200)]) == 40


def test_only_what_is_counted_counts() -> None:
    hits, counted = np.array([True, False, True, True]), np.array([True, True, False, True])
    assert share_interval(hits, list("abcd"), counted) == share_interval(hits[counted], list("abd"))


def test_sizes_can_be_told_from_intervals_and_wanted_from_shares() -> None:
    low, high = share_limits(0.85, 70)
    assert size_of(Interval(value=0.85, low=low, high=high)) == pytest.approx(70, rel=1e-3)
    assert size_to_tell(1.0, 0.9) == 29
    assert size_to_tell(0.9, 0.9) is None


def test_an_interval_without_width_gets_one() -> None:
    bootstrapped = Interval(value=1, low=1, high=1)
    assert never_certain(bootstrapped, 0.6, 1.0) == Interval(value=1, low=0.6, high=1)
    known = Interval(value=0.9, low=0.8, high=0.95)
    assert never_certain(known, 0.1, 1.0) is known
    assert rarer_patients(np.array([True, True, True, False]), list("aabc")) == 1
