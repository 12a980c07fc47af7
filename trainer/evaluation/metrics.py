"""Metrics of an evaluation without intervals, and their tables as text."""

import numpy as np

from bento.artifact import ClassMetrics, TestMetrics
from trainer.evaluation.bootstrap import JudgedImages, confusion_matrix, weighted_metrics
from trainer.types import Floats, Integers

CORNER = "true \\ predicted"


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


def metrics_table(title: str, metrics: TestMetrics) -> str:
    """Metrics as text for a terminal: summary, table per class, confusion matrix; a dash where no image tells one."""
    width = max(len(name) for name in [*metrics.per_class, CORNER])
    lines = [
        f"{title}: {metrics.images} images",
        f"accuracy {metrics.accuracy:.4f}   macro F1 {metrics.macro_f1:.4f}   "
        f"weighted F1 {metrics.weighted_f1:.4f}   cross-entropy {metrics.cross_entropy:.4f}",
        "",
        f"{'':{width}}  precision  recall      F1  support",
    ]
    called = np.sum(metrics.confusion_matrix, axis=0).tolist()
    for (name, row), count in zip(metrics.per_class.items(), called, strict=True):
        precision = f"{row.precision:.4f}" if row.support and count else "–"
        recall, f1 = (f"{value:.4f}" if row.support else "–" for value in (row.recall, row.f1))
        lines.append(f"{name:{width}}  {precision:>9}  {recall:>6}  {f1:>6}  {row.support:7}")
    columns = [max(6, len(name)) for name in metrics.per_class]
    header = "  ".join(f"{name:>{size}}" for name, size in zip(metrics.per_class, columns, strict=True))
    lines += ["", f"{CORNER:{width}}  {header}"]
    for name, counts in zip(metrics.per_class, metrics.confusion_matrix, strict=True):
        cells = "  ".join(f"{count:{size}}" for count, size in zip(counts, columns, strict=True))
        lines.append(f"{name:{width}}  {cells}")
    return "\n".join(lines)
