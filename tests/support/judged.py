"""Made-up answers of a fair model, with their truth."""

import numpy as np

from trainer.evaluation.bootstrap import JudgedImages

CLASSES = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]


def judged(radiographs: int = 300, patients: int | None = None, decimals: int = 3, seed: int = 0) -> JudgedImages:
    """Images of a fair model; rounding makes ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, radiographs)
    scores = np.exp(rng.normal(size=(radiographs, 3)) + 1.5 * np.eye(3)[truth])
    probabilities = np.round(scores / scores.sum(axis=1, keepdims=True), decimals) + 1e-4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    owners = [f"p{i % (patients or radiographs)}" for i in range(radiographs)]
    return JudgedImages(CLASSES, truth, probabilities, owners)
