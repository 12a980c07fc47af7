"""The comparison on fresh seeds: a paired interval, which chance alone does not pass."""

import numpy as np
import pytest
from scipy import stats

from trainer.search.fresh import Comparison


def _comparison(winner: list[float], default: list[float], share: float = 0.125) -> Comparison:
    return Comparison(list(range(len(winner))), winner, default, share)


def test_without_shared_images_the_interval_is_that_of_the_paired_t_test() -> None:
    winner, default = [0.80, 0.84, 0.81, 0.86], [0.78, 0.80, 0.80, 0.79]
    paired = stats.ttest_rel(winner, default).confidence_interval(0.95)
    assert _comparison(winner, default, share=0.0).interval == pytest.approx((paired.low, paired.high))
    low, high = _comparison(winner, default).interval
    assert low < paired.low
    assert high > paired.high


def test_a_lead_that_every_seed_has_is_better_and_one_that_a_single_seed_has_is_not() -> None:
    assert _comparison([0.85, 0.86, 0.84], [0.80, 0.80, 0.80]).better
    assert not _comparison([0.95, 0.80, 0.80], [0.80, 0.80, 0.80]).better
    assert not _comparison([0.75, 0.76, 0.74], [0.80, 0.80, 0.80]).better


def test_where_there_is_no_difference_a_winner_is_seldom_found() -> None:
    """Ten resamplings of one set of images whose judged parts are an eighth of what is trained on."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        common = random.normal(0, 0.01)  # what the trainings share, and a paired test by itself would take for a lead
        noise = random.normal(common * 0.3, 0.01, size=3)
        found += _comparison(list(0.8 + noise), [0.8] * 3).better
    assert found / 300 < 0.05
