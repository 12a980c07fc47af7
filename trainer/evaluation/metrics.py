"""The figures of an evaluation, by scikit-learn, and their tables."""

import numpy as np

from bento.artifact import ClassMetrics, TestMetrics
from trainer.types import Floats, Integers

CORNER = "true \\ predicted"


def compute_metrics(truth: Integers, probabilities: Floats, classes: list[str]) -> TestMetrics:
    """Figures of N predictions.

    Args:
        truth: N class indices.
        probabilities: N×C, rows summing to 1.
        classes: C names.

    Macro and weighted F1 run over the classes that occur in ``truth``: a class that a hospital never sends can't
    be found there, but calling its images that class still costs the others' recall.
    """
    # Slow to import: training, which shares this module's types, starts without it.
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    everything = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    scores = precision_recall_fscore_support(truth, predicted, labels=everything, zero_division=0.0)
    precision, recall, f1, support = (np.asarray(column) for column in scores)
    present = support > 0
    # float64, as rounding in float32 alone takes the rows' sums off 1 by more than scikit-learn likes.
    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    return TestMetrics(
        images=len(truth),
        accuracy=float(np.mean(predicted == truth)),
        macro_f1=float(f1[present].mean()),
        weighted_f1=float(np.average(f1, weights=support)),
        cross_entropy=float(log_loss(truth, rows, labels=everything)),
        per_class={
            name: ClassMetrics(
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
                support=int(support[i]),
            )
            for i, name in enumerate(classes)
        },
        confusion_matrix=confusion_matrix(truth, predicted, labels=everything).tolist(),
    )


def metrics_table(title: str, metrics: TestMetrics) -> str:
    """The figures as text for a terminal: summary, per-class table, confusion matrix."""
    width = max(len(name) for name in [*metrics.per_class, CORNER])
    lines = [
        f"{title}: {metrics.images} images",
        f"accuracy {metrics.accuracy:.4f}   macro F1 {metrics.macro_f1:.4f}   "
        f"weighted F1 {metrics.weighted_f1:.4f}   cross-entropy {metrics.cross_entropy:.4f}",
        "",
        f"{'':{width}}  precision  recall      F1  support",
    ]
    for name, row in metrics.per_class.items():
        lines.append(f"{name:{width}}  {row.precision:9.4f}  {row.recall:6.4f}  {row.f1:6.4f}  {row.support:7}")
    columns = [max(6, len(name)) for name in metrics.per_class]
    header = "  ".join(f"{name:>{size}}" for name, size in zip(metrics.per_class, columns, strict=True))
    lines += ["", f"{CORNER:{width}}  {header}"]
    for name, counts in zip(metrics.per_class, metrics.confusion_matrix, strict=True):
        cells = "  ".join(f"{count:{size}}" for count, size in zip(counts, columns, strict=True))
        lines.append(f"{name:{width}}  {cells}")
    return "\n".join(lines)
