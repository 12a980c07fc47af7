"""Whether temperature scaling made the probabilities better or worse on images that it was not fitted to."""

from bento.artifact import CalibrationMetrics
from trainer.evaluation.bootstrap import JudgedImages, MetricValues, calibration_metrics, intervals
from trainer.evaluation.figures import difference, figure
from trainer.types import Floats

LEAST_PATIENTS = 10
"""With fewer test patients nothing is told: a bootstrap of so few has intervals that are too narrow."""
NOTABLE = 0.05
"""Share of the metric before scaling from which a rise is worth a warning."""
METRICS = {"cross_entropy": "cross-entropy", "brier": "Brier score", "ece": "calibration error"}


def calibration_change(before: JudgedImages, after: JudgedImages) -> CalibrationMetrics:
    """Metrics after scaling less those before, of the same images, with intervals by paired bootstrap of patients."""

    def change(weights: Floats) -> MetricValues:
        first, second = (calibration_metrics(side, weights) for side in (before, after))
        return {name: second[name] - first[name] for name in second}

    return CalibrationMetrics(**intervals(change, after.patients))


def is_worse(before: CalibrationMetrics, change: CalibrationMetrics, patients: int) -> bool:
    """Whether cross-entropy or Brier score rose beyond chance, and by :data:`NOTABLE` or more.

    The calibration error alone decides nothing: it depends on bins, and is too great where images are few.
    """
    return patients >= LEAST_PATIENTS and any(
        rise.low > 0 and rise.value >= NOTABLE * first.value
        for first, rise in ((before.cross_entropy, change.cross_entropy), (before.brier, change.brier))
    )


def scaling_verdict(
    temperature: float,
    before: CalibrationMetrics,
    after: CalibrationMetrics,
    change: CalibrationMetrics,
    judged: JudgedImages,
) -> str:
    """What scaling did to the probabilities of the test images, in words."""
    images, patients = len(judged.truth), len(set(judged.patients))
    if is_worse(before, change, patients):
        what, advice = "made the probabilities worse", " Do not take a probability at its word."
    elif patients >= LEAST_PATIENTS and min(change.cross_entropy.high, change.brier.high) < 0:
        what, advice = "made the probabilities better", ""
    else:
        what, advice = "made no difference to the probabilities that can be told", ""
    figures = "; ".join(
        f"{text} {figure(getattr(before, name).value, images)} before and {figure(getattr(after, name).value, images)} "
        f"after, difference {difference(getattr(change, name), images)}"
        for name, text in METRICS.items()
    )
    return (
        f"Temperature scaling (T = {temperature:.2f}, fitted on validation images) {what} on these {images:,} test "
        f"images: {figures}.{advice}"
    )
