"""Metrics: scikit-learn's figures, and the macro average over the classes that occur."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from trainer.evaluation.metrics import compute_metrics

CLASSES = ["NORMAL", "PNEUMONIA", "TUBERCULOSIS"]


def predictions(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 3, n), rng.dirichlet(np.ones(3), n)


def test_figures_are_scikit_learns() -> None:
    truth, probabilities = predictions()
    predicted = probabilities.argmax(axis=1)
    metrics = compute_metrics(truth, probabilities, CLASSES)
    assert metrics.accuracy == accuracy_score(truth, predicted)
    assert metrics.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)
    assert metrics.weighted_f1 == pytest.approx(f1_score(truth, predicted, average="weighted"), abs=1e-12)
    assert metrics.cross_entropy == pytest.approx(log_loss(truth, probabilities), abs=1e-12)
    assert [row.support for row in metrics.per_class.values()] == np.bincount(truth).tolist()


def test_macro_f1_runs_over_the_classes_that_occur() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.eye(3)[[0, 2, 1, 1]]  # one NORMAL image is called TUBERCULOSIS
    metrics = compute_metrics(truth, probabilities, CLASSES)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1.0) / 2)
    assert metrics.per_class["TUBERCULOSIS"].support == 0
    assert metrics.confusion_matrix == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]


def test_the_reference_projects_table_comes_out_of_its_confusion_matrix() -> None:
    counts = [[572, 107, 48], [10, 455, 3], [259, 0, 593]]
    truth = np.repeat([0, 1, 2], [sum(row) for row in counts])
    predicted = np.concatenate([np.repeat([0, 1, 2], row) for row in counts])
    metrics = compute_metrics(truth, np.eye(3)[predicted] * 0.98 + 0.02 / 3, CLASSES)
    assert round(metrics.accuracy, 4) == 0.7914
    assert round(metrics.macro_f1, 4) == 0.8020
    assert round(metrics.weighted_f1, 4) == 0.7911
