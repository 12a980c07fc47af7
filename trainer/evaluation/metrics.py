"""Metrics of an evaluation without intervals."""

import numpy as np

from bento.artifact import ClassMetrics, TestMetrics
from trainer.evaluation.bootstrap import JudgedImages, confusion_matrix, weighted_metrics
from trainer.types import Floats, Integers


def compute_metrics(truth: Integers, probabilities: Floats, classes: list[str]) -> TestMetrics:
    """Metrics of N predictions; those of a class that does not occur are 0, and its F1 does not count for the macro F1.

    Args:
        truth: N class indices.
        probabilities: N×C, rows summing to 1.
        classes: C names.
    """
    judged = JudgedImages(classes, truth, probabilities, [])
    weights = np.ones((1, len(truth)))
    values = {name: float(np.nan_to_num(value[0])) for name, value in weighted_metrics(judged, weights).items()}
    matrix = confusion_matrix(judged)
    per_class = {
        name: ClassMetrics(
            precision=values[f"precision.{name}"],
            recall=values[f"recall.{name}"],
            f1=values[f"f1.{name}"],
            support=sum(row),
        )
        for name, row in zip(classes, matrix, strict=True)
    }
    over_all = {name: values[name] for name in ("accuracy", "macro_f1", "weighted_f1", "cross_entropy")}
    return TestMetrics(images=len(truth), **over_all, per_class=per_class, confusion_matrix=matrix)
