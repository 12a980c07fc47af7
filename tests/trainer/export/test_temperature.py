"""Temperature scaling: it finds a known temperature, and no extreme one from few images."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from trainer.export.temperature import fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(20_000, 3)) * 2
    truth = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])
    assert fit_temperature(honest * temperature, truth) == pytest.approx(temperature, rel=0.05)


def test_few_images_that_are_all_right_do_not_make_the_model_certain() -> None:
    truth = np.arange(18) % 3
    assert 0.5 < fit_temperature(np.eye(3)[truth] * 3, truth) < 1
    assert fit_temperature(np.eye(3)[truth] * 20, truth) == pytest.approx(1, abs=0.05)


def test_few_images_do_no_harm_on_others() -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(size=(2000, 3)) * 2
    truth = np.array([rng.choice(3, p=row) for row in softmax(honest, axis=1)])

    def cross_entropy(temperature: float) -> float:
        return float(-log_softmax(honest / temperature, axis=1)[np.arange(len(truth)), truth].mean())

    fits = [fit_temperature(honest[part], truth[part]) for part in np.array_split(np.arange(900), 100)]
    assert max(cross_entropy(fit) for fit in fits) < 1.15 * cross_entropy(1)
