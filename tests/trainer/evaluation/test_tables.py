"""An evaluation as a user reads it in the terminal."""

import numpy as np

from bento.artifact import TestMetrics
from tests.support.judged import CLASSES
from trainer.evaluation.bootstrap import JudgedImages, metrics_with_intervals
from trainer.evaluation.metrics import compute_metrics
from trainer.evaluation.tables import confusion_table, metrics_table


def answered(truth: list[int], predicted: list[int]) -> tuple[TestMetrics, str]:
    """Metrics of images that are called ``predicted``, and their table."""
    probabilities = np.eye(3)[predicted] * 0.98 + 0.02 / 3
    names = [str(i) for i in range(len(truth))]
    judged = JudgedImages(CLASSES, np.array(truth), probabilities, names)
    metrics = compute_metrics(judged.truth, probabilities, CLASSES)
    return metrics, metrics_table("hospital", metrics, metrics_with_intervals(judged, 50))


def row(table: str, label: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(label))
    return line.split()[1:]


def test_every_figure_has_its_interval_and_its_number_of_images() -> None:
    metrics, table = answered([0] * 10 + [1] * 4, [0] * 9 + [1] * 5)
    assert table.startswith("hospital: 14 images, 95 % intervals in brackets\naccuracy       0.93 (0.")
    assert row(table, "NORMAL")[:3] == ["10", "9", "1.00"]  # of it; called it; precision
    assert row(table, "PNEUMONIA")[:3] == ["4", "5", "0.80"]
    assert confusion_table(metrics).splitlines()[1].split() == ["NORMAL", "9", "1", "0"]


def test_what_no_image_tells_is_a_dash() -> None:
    _, table = answered([0, 0, 0], [0, 0, 2])
    assert row(table, "PNEUMONIA") == ["0", "0", "–", "–", "–"]
    assert row(table, "TUBERCULOSIS") == ["0", "1", "–", "–", "–"]
    _, table = answered([0, 1], [0, 0])
    assert row(table, "PNEUMONIA")[:3] == ["1", "0", "–"]
    assert row(table, "PNEUMONIA")[3:5] == ["0.00", "(0.00"]


def test_a_thousand_images_carry_a_third_decimal() -> None:
    _, table = answered([0] * 600 + [1] * 600, [0] * 540 + [1] * 660)
    assert "accuracy       0.950 (0.9" in table
    assert "0.90 (0.8" in table  # recall of a class of 600
