"""Slope and offset are the model's own where there is little to go by, and the site's where there is much."""

import numpy as np
import pytest
from scipy.special import expit

from trainer.sites.recalibration import Fit, fit_logit, mean_interval, patient_shares, recalibrate
from trainer.sites.stratified import Sample
from trainer.types import Floats


def drawn(
    images: int, slope: float, offset: float, seed: int = 0
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Scores, and which of the images have the disease, by a true slope and offset."""
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=2, size=images)
    return expit(x), rng.random(images) < expit(slope * x + offset)


def test_many_images_give_the_true_slope_and_offset() -> None:
    scores, positive = drawn(20_000, 0.5, -1.0)
    slope, offset = fit_logit(scores, positive, np.ones(len(scores)))
    assert slope == pytest.approx(0.5, abs=0.03)
    assert offset == pytest.approx(-1.0, abs=0.05)


def test_the_fewer_images_the_nearer_to_the_model_itself() -> None:
    scores, positive = drawn(400, 0.4, 0.0)
    fits = [fit_logit(scores, positive, np.full(len(scores), weight)) for weight in (1.0, 0.05, 1e-6)]
    slopes = [fit.slope for fit in fits]
    assert slopes == sorted(slopes)
    assert slopes[-1] == pytest.approx(1, abs=1e-3)
    assert fits[-1].offset == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("images", [4, 20, 200])
def test_the_order_of_images_stays_even_where_the_labels_are_the_wrong_way_round(images: int) -> None:
    scores = np.linspace(0, 1, images)
    fit = fit_logit(scores, scores < 0.5, np.ones(images))
    assert fit.slope > 0
    assert np.isfinite(fit.offset)
    assert (np.diff(fit.probabilities(scores)) > 0).all()


def test_a_patient_with_many_images_weighs_as_much_as_one_with_one() -> None:
    scores, positive = drawn(30, 0.5, 1.0)
    once = fit_logit(scores, positive, np.ones(30))
    patients = [str(i) for i in range(30)]
    again = np.r_[np.arange(30), np.zeros(50, dtype=int)]
    many = fit_logit(scores[again], positive[again], patient_shares([patients[i] for i in again]))
    assert many == pytest.approx(once, abs=1e-6)


def test_each_patient_is_judged_by_a_fit_to_the_others() -> None:
    scores, positive = drawn(12, 0.5, 1.0, seed=3)
    patients = [str(i // 2) for i in range(12)]
    found = recalibrate("ILL", scores, positive, Sample(patients), None)
    losses = []
    for name in sorted(set(patients)):
        own = np.array([patient == name for patient in patients])
        fit: Fit = fit_logit(scores[~own], positive[~own], np.full((~own).sum(), 0.5))
        losses.append(((fit.probabilities(scores[own]) - positive[own]) ** 2).mean())
    assert found.after.brier.value == pytest.approx(np.mean(losses))
    assert found.before.brier.value == pytest.approx(((scores - positive) ** 2).mean())
    assert found.brier_change.value == pytest.approx(found.after.brier.value - found.before.brier.value)


def test_the_interval_of_a_mean_has_patients_as_its_unit() -> None:
    values = np.array([0.1, 0.4, 0.3, 0.9])
    apart = mean_interval(values, Sample(["a", "b", "c", "d"]))
    copies = mean_interval(np.repeat(values, 5), Sample(list("aaaaabbbbbcccccddddd")))
    assert copies.model_dump() == pytest.approx(apart.model_dump())
