"""An evaluation as text for a terminal: warnings first, each figure once, with the number of its images."""

from collections.abc import Mapping, Sequence

from bento.artifact import Interval, TestMetrics
from trainer.evaluation.confounding import calls_text
from trainer.evaluation.cross_site import cross_site_table, present_text
from trainer.evaluation.figures import figure_with_interval
from trainer.evaluation.novelty_rates import novelty_text
from trainer.evaluation.predictive_values import predictive_text
from trainer.evaluation.summary import EvaluationSummary

CORNER = "true \\ predicted"
OVERALL = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "cross_entropy": "cross-entropy",
}
PER_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1"}


def evaluation_text(summary: EvaluationSummary, title: str) -> str:
    """Everything that an evaluation says in the terminal; after warnings, the sites come first.

    Args:
        summary: of a run or of a stored model.
        title: what was judged on what.
    """
    overall = [metrics_table(title, summary.test, summary.intervals.test), confusion_table(summary.test)]
    within = [
        metrics_table(f"site {name}", metrics, summary.intervals.by_site[name])
        for name, metrics in summary.by_site.items()
        if metrics.images < summary.test.images
    ]
    classes = len(summary.test.per_class)
    parts = [f"WARNING: {warning}" for warning in summary.warnings]
    parts += [*within, *overall] if parts else [*overall, *within]
    if summary.sites.calls:
        parts.append(calls_text(summary.sites.calls))
    if summary.cross_site is not None:
        held_out = summary.cross_site
        parts.append(cross_site_table([held_out]))
        parts.append(present_text(held_out.held_out_site, held_out.radiographs, classes))
    if summary.present is not None:
        parts.append(present_text(summary.present, summary.test.images, classes))
    if summary.calibration.verdict and not summary.calibration.worse:
        parts.append(summary.calibration.verdict)
    parts.append(thresholds_text(summary))
    if summary.predictive_values:
        parts.append(predictive_text(summary.predictive_values))
    if summary.novelty_rates is not None:
        parts.append(novelty_text(summary.novelty_rates))
    return "\n\n".join(filter(None, parts))


def metrics_table(title: str, metrics: TestMetrics, intervals: Mapping[str, Interval]) -> str:
    """Metrics with their intervals, over all classes and of each; a dash where no image tells one.

    Precision rests on the images that are called the class, the others on those that are it: both numbers are there.
    """
    lines = [f"{title}: {metrics.images:,} images, 95 % intervals in brackets"]
    lines += [
        f"{text:13}  {figure_with_interval(intervals[name], metrics.images)}"
        for name, text in OVERALL.items()
        if name in intervals
    ]
    rows = [["", "images", "called", *PER_CLASS.values()]]
    for column, (label, own) in enumerate(metrics.per_class.items()):
        called = sum(row[column] for row in metrics.confusion_matrix)
        figures = [intervals.get(f"{name}.{label}") for name in PER_CLASS]
        counts = [called, own.support, own.support]
        cells = [
            "–" if value is None or not own.support else figure_with_interval(value, count)
            for value, count in zip(figures, counts, strict=True)
        ]
        rows.append([label, f"{own.support:,}", f"{called:,}", *cells])
    return "\n".join([*lines, "", *_aligned(rows)])


def thresholds_text(summary: EvaluationSummary) -> str:
    """What each threshold does on these images, a line for each class that has one."""
    lines = []
    for point in summary.operating_points:
        images = summary.test.per_class[point.label].support
        rates = {
            f"sensitivity {{}} of {images:,} images with it": (point.test_sensitivity, images),
            f"specificity {{}} of {summary.test.images - images:,} without": (
                point.test_specificity,
                summary.test.images - images,
            ),
        }
        told = [text.format(figure_with_interval(rate, count)) for text, (rate, count) in rates.items() if rate]
        against = f"odds against {point.reference}" if point.reference else "probability"
        lines.append(f"{point.label} is flagged from {against} of {point.threshold:.2f} on: {', '.join(told)}")
    return "\n".join(lines)


def confusion_table(metrics: TestMetrics) -> str:
    """The confusion matrix: rows true, columns predicted."""
    names = list(metrics.per_class)
    rows = [[name, *map(str, counts)] for name, counts in zip(names, metrics.confusion_matrix, strict=True)]
    return "\n".join(_aligned([[CORNER, *names], *rows]))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [f"{row[0]:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]
