"""The whole judgement of a model: ``metrics.json``, which report, card and manifest are views of."""

from pathlib import Path

from pydantic import Field

from bento.artifact import (
    Calibration,
    CalibrationMetrics,
    Interval,
    OperatingPoint,
    ReferenceDistributions,
    TestMetrics,
)
from trainer.data.file_control import FileControl
from trainer.evaluation.bootstrap import LEVEL, RESAMPLES, JudgedImages, metrics_with_intervals
from trainer.evaluation.calibration import Bin, reliability, uncalibrated
from trainer.evaluation.calibration_change import calibration_change, is_worse, scaling_verdict
from trainer.evaluation.confounding import SiteFindings
from trainer.evaluation.cross_site import CrossSite, PresentClasses
from trainer.evaluation.data_audit import Audit
from trainer.evaluation.failures import Failures
from trainer.evaluation.novelty_rates import NoveltyRates
from trainer.evaluation.operating_points import judge_threshold
from trainer.evaluation.predictive_values import PredictiveValues
from trainer.evaluation.scoring import Evaluation
from trainer.evaluation.seen_images import SeenImages
from trainer.evaluation.shortcut_controls import Control
from trainer.files import write_json
from trainer.running.documents import Document, read_document

FILE = "metrics.json"


class Intervals(Document):
    """Every metric with its interval, by the names of :func:`~trainer.evaluation.bootstrap.weighted_metrics`."""

    level: float = LEVEL
    resamples: int = RESAMPLES
    resampled: str = "patients"
    patients: int
    test: dict[str, Interval]
    by_site: dict[str, dict[str, Interval]]


class CalibrationFindings(Calibration):
    """Metrics and reliability diagrams before and after temperature scaling."""

    temperature: float
    change: CalibrationMetrics | None = None
    """After scaling less before, on the same images (paired bootstrap of patients); None of earlier versions."""
    verdict: str = ""
    """Whether scaling made the probabilities better or worse on the test images, in words."""
    worse: bool = False
    reliability_before: list[Bin]
    reliability_after: list[Bin]

    @property
    def reliability(self) -> dict[str, tuple[list[tuple[int, float, float]], str]]:
        """Points and title of the two reliability diagrams, ``before`` and ``after`` scaling."""
        sides = {"before": (self.reliability_before, self.before), "after": (self.reliability_after, self.after)}
        return {
            when: (
                [(point.radiographs, point.confidence, point.accuracy) for point in bins],
                f"{when} scaling: calibration error {metrics.ece.value:.3f}",
            )
            for when, (bins, metrics) in sides.items()
        }


class EvaluationSummary(Document):
    """Everything that an evaluation found out. Parts that an evaluation does not have are None."""

    warnings: list[str] = Field(default_factory=list)
    """What must be known before any metric is believed, in plain words."""
    by_site: dict[str, TestMetrics]
    """Metrics within each site, where the data name any."""
    test: TestMetrics
    unreadable: dict[str, str]
    """Path to reason, of test images that were left out."""
    intervals: Intervals
    calibration: CalibrationFindings
    operating_points: list[OperatingPoint]
    predictive_values: list[PredictiveValues] = Field(default_factory=list)
    """At the prevalence that the user has stated."""
    no_threshold: dict[str, str] = Field(default_factory=dict)
    """Classes without an operating point, and why they have none."""
    operating_points_by_site: dict[str, dict[str, dict[str, Interval]]]
    """By class, then site: ``sensitivity`` and ``specificity``, as far as the images can tell them."""
    sites: SiteFindings
    present: PresentClasses | None = None
    """Of a stored model's evaluation."""
    seen_images: SeenImages | None = None
    """Of a stored model's evaluation: what was left out because the model was made with it."""
    audit: Audit | None = None
    failures: Failures | None = None
    cross_site: CrossSite | None = None
    """Of a run that was trained without a site."""
    novelty_rates: NoveltyRates | None = None
    reference: ReferenceDistributions | None = None
    """Of a run: what its validation images are like, for the service to measure drift against."""
    controls: list[Control] = Field(default_factory=list)
    file_controls: list[FileControl] = Field(default_factory=list)
    """What the files' properties tell of the class, within each site of the run's data."""


def summarise(
    test: Evaluation, temperature: float, points: list[OperatingPoint], sites: SiteFindings
) -> EvaluationSummary:
    """The parts that any set of judged images has: metrics with intervals, by site, calibration, operating points."""
    judged, by_site = test.judged, test.judged_by_site
    intervals = metrics_with_intervals(judged)
    return EvaluationSummary(
        by_site=test.metrics_by_site,
        test=test.metrics,
        unreadable=test.unreadable,
        intervals=Intervals(
            patients=len(set(judged.patients)),
            test=intervals,
            by_site={name: metrics_with_intervals(images) for name, images in by_site.items()},
        ),
        calibration=_calibration(judged, intervals, temperature),
        operating_points=points,
        operating_points_by_site={
            point.label: {
                name: judge_threshold(images, point.label, point.threshold, point.reference)
                for name, images in by_site.items()
            }
            for point in points
        },
        sites=sites,
    )


def _calibration(judged: JudgedImages, scaled: dict[str, Interval], temperature: float) -> CalibrationFindings:
    unscaled = judged.with_probabilities(uncalibrated(judged.probabilities, temperature))
    metrics = metrics_with_intervals(unscaled)
    before, after = (
        CalibrationMetrics(ece=side["ece"], brier=side["brier"], cross_entropy=side["cross_entropy"])
        for side in (metrics, scaled)
    )
    change = calibration_change(unscaled, judged)
    return CalibrationFindings(
        temperature=temperature,
        before=before,
        after=after,
        change=change,
        verdict=scaling_verdict(temperature, before, after, change, judged),
        worse=is_worse(before, change, len(set(judged.patients))),
        reliability_before=reliability(unscaled.probabilities, judged.truth),
        reliability_after=reliability(judged.probabilities, judged.truth),
    )


def write_summary(folder: Path, summary: EvaluationSummary) -> None:
    """Write ``metrics.json`` into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = summary.model_dump()
    write_json(folder / FILE, {name: value for name, value in parts.items() if value is not None})


def read_summary(folder: Path) -> EvaluationSummary:
    """Read the ``metrics.json`` of a folder, also one of an earlier version.

    Raises:
        UserError: it is missing or damaged.
    """
    return read_document(folder / FILE, EvaluationSummary, "evaluate")
