"""A site's threshold reaches its sensitivity with the confidence that it states, whatever the scores are."""

import numpy as np
import pytest
from scipy.stats import binom

from bento.inference.odds import logit
from trainer.sites.thresholds import (
    Standing,
    highest_rank,
    just_below,
    lower_limit,
    lowest_scores,
    patients_needed,
    reached_confidence,
    sensitivity_at,
)


@pytest.mark.parametrize(
    ("target", "confidence", "needed"),
    [(0.9, 0.8, 16), (0.9, 0.95, 29), (0.95, 0.95, 59), (0.5, 0.5, 1), (0.9, 0.9, 22)],
)
def test_with_fewer_patients_than_needed_there_is_no_threshold(target: float, confidence: float, needed: int) -> None:
    assert patients_needed(target, confidence) == needed
    assert highest_rank(needed - 1, target, confidence) is None
    assert highest_rank(needed, target, confidence) == 1


@pytest.mark.parametrize("patients", [16, 20, 29, 40, 100, 300])
def test_the_rank_is_the_highest_whose_exact_binomial_bound_meets_the_target(patients: int) -> None:
    rank = highest_rank(patients, 0.9, 0.8)
    assert rank is not None
    assert lower_limit(Standing(patients, rank), 0.8) >= 0.9 > lower_limit(Standing(patients, rank + 1), 0.8)
    assert reached_confidence(Standing(patients, rank), 0.9) == pytest.approx(1 - binom.cdf(rank - 1, patients, 0.1))


@pytest.mark.parametrize("patients", [16, 24, 60])
def test_the_sensitivity_is_reached_as_often_as_the_confidence_says(patients: int) -> None:
    rng = np.random.default_rng(0)
    rank = highest_rank(patients, 0.9, 0.8)
    assert rank is not None
    # The true sensitivity at a threshold t of uniform scores is 1 - t.
    true = 1 - np.sort(rng.random((20_000, patients)), axis=1)[:, rank - 1]
    assert (true >= 0.9).mean() == pytest.approx(reached_confidence(Standing(patients, rank), 0.9), abs=0.01)
    interval = sensitivity_at(Standing(patients, rank))
    assert ((interval.low <= true) & (true <= interval.high)).mean() == pytest.approx(0.95, abs=0.01)
    assert true.mean() == pytest.approx(interval.value, abs=0.01)


def test_a_patient_counts_once_by_the_lowest_image() -> None:
    scores = np.array([0.9, 0.2, 0.5, 0.7, 0.6])
    assert lowest_scores(scores, ["a", "a", "b", "c", "c"]).tolist() == [0.2, 0.5, 0.6]


@pytest.mark.parametrize("score", [0.0, 1e-9, 1e-4, 0.5, 0.9999, 1.0])
def test_a_threshold_is_a_hair_below_the_score_that_reaches_it(score: float) -> None:
    threshold = just_below(score)
    assert 0 <= threshold <= score
    assert logit(score) - logit(threshold) <= 0.0101
