"""The index and what chance makes of it."""

import numpy as np
import pytest

from bento.inference.drift import index_by_chance, share_by_chance, stability_index

DRAWS = 20_000


def test_the_index_is_the_sum_over_the_bins_of_the_difference_times_the_logarithm_of_the_ratio() -> None:
    # Shares 0.5 and 0.5 against 0.25 and 0.75: 0.25 log 2 + 0.25 log 1.5.
    assert stability_index([50_000, 50_000], [25_000, 75_000]) == pytest.approx(0.25 * np.log(3), abs=1e-4)
    assert stability_index([10, 20, 30], [100, 200, 300]) < 0.001


def test_an_empty_bin_gives_a_finite_index() -> None:
    assert 1 < stability_index([0, 100], [100, 0]) < 20


@pytest.mark.parametrize(("bins", "reference", "images"), [(10, 50, 200), (10, 500, 1000), (4, 20, 1000), (3, 800, 50)])
def test_the_index_of_one_population_is_what_chance_is_said_to_make_of_it(
    bins: int, reference: int, images: int
) -> None:
    rng = np.random.default_rng(0)
    pairs = [rng.multinomial(count, np.full(bins, 1 / bins), DRAWS) for count in (reference, images)]
    found = np.array([stability_index(*pair) for pair in zip(*pairs, strict=True)])
    expected = (bins - 1) * (1 / reference + 1 / images)
    assert expected * 0.85 < found.mean() < expected * 1.05
    limit = index_by_chance(bins, reference, images)
    assert (found > limit).sum() <= 10
    assert (found > limit / 2).sum() > 10


@pytest.mark.parametrize(("share", "reference", "images"), [(0.3, 100, 1000), (0.02, 500, 1000), (0.02, 100, 200)])
def test_the_difference_of_two_shares_of_one_population_stays_below_what_chance_is_said_to_make_of_it(
    share: float, reference: int, images: int
) -> None:
    rng = np.random.default_rng(0)
    marked = (rng.binomial(count, share, DRAWS).tolist() for count in (reference, images))
    over = [
        abs(first / reference - second / images) > share_by_chance((first, second), (reference, images))
        for first, second in zip(*marked, strict=True)
    ]
    assert sum(over) <= 10
