"""How many images a test needs, and what each look may spend: checked against exact tests and exact distributions."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from trainer.sites.sample_size import (
    ALPHA,
    exact_limits,
    least_images,
    look_levels,
    look_sizes,
    power,
    spent,
)


@pytest.mark.parametrize(("hits", "images"), [(0, 12), (5, 12), (12, 12), (283, 300)])
def test_limits_are_those_of_the_exact_binomial_test(hits: int, images: int) -> None:
    expected = binomtest(hits, images).proportion_ci(0.95, "exact")
    assert exact_limits(hits / images, images, 0.025) == pytest.approx((expected.low, expected.high))


def test_one_look_accepts_exactly_where_the_exact_test_does() -> None:
    (level,) = look_levels(0.9, [316], 1)
    accepted = [hits for hits in range(317) if exact_limits(hits / 316, 316, level)[0] >= 0.9]
    exact = [hits for hits in range(317) if binomtest(hits, 316, 0.9, "greater").pvalue <= ALPHA]
    assert accepted == exact


@pytest.mark.parametrize("looks", [1, 2, 3, 5])
@pytest.mark.parametrize("target", [0.7, 0.9])
def test_a_rate_at_its_target_is_seldom_accepted_at_any_look(looks: int, target: float) -> None:
    for planned in (20, 90, 317):
        assert power(target, target, planned, looks) <= ALPHA + 1e-12
    # Without correction it would not be so.
    sizes = look_sizes(317, 5)
    rng = np.random.default_rng(0)
    hits = np.cumsum([rng.binomial(more, target, 4000) for more in np.diff([0, *sizes])], axis=0)
    naive = np.any([binom.sf(row - 1, size, target) <= ALPHA for row, size in zip(hits, sizes, strict=True)], axis=0)
    assert naive.mean() > ALPHA + 0.01


def test_the_level_of_a_look_does_not_depend_on_later_images_and_the_last_one_spends_what_is_left() -> None:
    early, whole = look_levels(0.9, [100, 150], 3), look_levels(0.9, [100, 150, 400], 3)
    assert whole[:2] == early
    assert early[0] < early[1] < whole[2] < ALPHA
    assert spent(1) == pytest.approx(ALPHA)
    assert spent(0.5) < ALPHA / 5


@pytest.mark.parametrize("looks", [1, 3])
def test_the_planned_number_has_the_wanted_power_as_has_every_larger_one_and_one_image_less_has_not(looks: int) -> None:
    number = least_images(0.7, 0.85, 0.9, looks)
    assert number is not None
    assert all(power(0.7, 0.85, more, looks) >= 0.9 for more in range(number, number + 40))
    assert power(0.7, 0.85, number - 1, looks) < 0.9


def test_the_number_for_one_look_has_the_power_that_a_simulation_gives() -> None:
    number = least_images(0.9, 0.95, 0.9)
    assert number is not None
    hits = np.random.default_rng(1).binomial(number, 0.95, 20_000)
    limits = {int(one): exact_limits(one / number, number, ALPHA)[0] for one in np.unique(hits)}
    assert np.mean([limits[int(one)] >= 0.9 for one in hits]) == pytest.approx(power(0.9, 0.95, number), abs=0.01)


def test_too_small_a_difference_has_no_number() -> None:
    assert least_images(0.9, 0.9001, 0.8) is None
