"""Which images are drawn: most where a label is in doubt, some everywhere."""

import numpy as np
import pytest

from trainer.sites.strata import LEAST_DRAWN, STRATA, draw, stratify

SCORES = 1 / (1 + np.exp(-3 * np.random.default_rng(3).normal(size=800)))


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.97])
def test_no_stratum_has_images_on_both_sides_of_the_threshold(threshold: float) -> None:
    strata = stratify(SCORES, threshold, 60)
    assert all(len(set((SCORES[strata.numbers == one] >= threshold).tolist())) == 1 for one in range(STRATA))


def test_strata_follow_each_other_in_the_order_of_the_scores_and_have_all_images() -> None:
    strata = stratify(SCORES, 0.3, 60)
    assert (np.diff(strata.numbers[np.argsort(SCORES)]) >= 0).all()
    assert strata.images.sum() == 800
    assert strata.drawn.sum() == 60
    assert (strata.drawn >= LEAST_DRAWN).all()


def test_an_image_between_the_threshold_and_even_odds_is_drawn_more_often_than_one_far_away() -> None:
    strata = stratify(SCORES, 0.3, 60)
    chance = (strata.drawn / strata.images)[strata.numbers]
    assert chance[(SCORES > 0.3) & (SCORES < 0.5)].min() > 2 * chance[(SCORES < 0.01) | (SCORES > 0.99)].max()


def test_the_draw_is_the_seeds_and_its_order_tells_nothing_of_the_scores() -> None:
    strata = stratify(SCORES, 0.3, 60)
    rows = draw(strata, 1)
    assert rows.tolist() == draw(strata, 1).tolist()
    assert rows.tolist() != draw(strata, 2).tolist()
    assert len(set(rows.tolist())) == 60
    assert np.bincount(strata.numbers[rows]).tolist() == strata.drawn.tolist()
    assert abs(np.corrcoef(np.arange(60), SCORES[rows])[0, 1]) < 0.3


@pytest.mark.parametrize("scores", [np.full(30, 0.9), np.full(30, 0.1), np.array([0.1] * 29 + [0.9])])
def test_folders_on_one_side_of_the_threshold_and_of_one_score_are_drawn_too(scores: np.ndarray) -> None:
    strata = stratify(scores, 0.5, 12)
    assert strata.drawn.sum() == 12
    assert (strata.drawn <= strata.images).all()


def test_a_folder_of_no_more_images_than_wanted_is_drawn_whole() -> None:
    strata = stratify(SCORES[:30], 0.3, 40)
    assert strata.drawn.tolist() == strata.images.tolist()
