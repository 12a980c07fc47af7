"""Calibration: how far probabilities mean what they say, before and after temperature scaling."""

import numpy as np
import pytest
from scipy.special import softmax

from trainer.evaluation.bootstrap import JudgedImages, metrics_with_intervals
from trainer.evaluation.calibration import reliability, uncalibrated
from trainer.export.temperature import fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 0.7, 3.0])
def test_the_graphs_probabilities_can_be_taken_back(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(size=(500, 3)) * 4
    calibrated = softmax(logits / temperature, axis=1).astype(np.float32)
    before = uncalibrated(calibrated, temperature)
    np.testing.assert_allclose(before, softmax(logits, axis=1), atol=1e-5)
    np.testing.assert_array_equal(before.argmax(axis=1), calibrated.argmax(axis=1))


def test_a_probability_that_float32_has_lost_stays_finite() -> None:
    assert np.isfinite(uncalibrated(np.array([[1.0, 0.0]], dtype=np.float32), 2.0)).all()


def test_bins_hold_every_image_once() -> None:
    rng = np.random.default_rng(0)
    rows = softmax(rng.normal(size=(400, 3)) * 3, axis=1)
    truth = rng.integers(0, 3, 400)
    bins = reliability(rows, truth)
    assert sum(one.radiographs for one in bins) == 400
    right = sum(one.radiographs * one.accuracy for one in bins)
    assert right == pytest.approx((rows.argmax(axis=1) == truth).sum())
    assert all(0 <= one.confidence <= 1 for one in bins)


def test_scaling_an_overconfident_model_lowers_its_calibration_error() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(4000, 3)) * 2
    truth = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])
    half = 2000
    temperature = fit_temperature(3 * honest[:half], truth[:half])
    patients = [str(i) for i in range(half)]

    def ece(scale: float) -> float:
        rows = softmax(3 * honest[half:] / scale, axis=1)
        radiographs = JudgedImages(["A", "B", "C"], truth[half:], rows, patients)
        return metrics_with_intervals(radiographs, resamples=10)["ece"].value

    assert ece(temperature) <= 0.03 < ece(1.0)
