"""Temperature scaling: it finds a known temperature."""

import numpy as np
import pytest
from scipy.special import softmax

from trainer.export.temperature import fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(20_000, 3)) * 2
    truth = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])
    assert fit_temperature(honest * temperature, truth) == pytest.approx(temperature, rel=0.05)


def test_a_perfect_model_gets_a_finite_temperature() -> None:
    truth = np.arange(30) % 3
    assert fit_temperature(np.eye(3)[truth] * 20, truth) >= 0.05
