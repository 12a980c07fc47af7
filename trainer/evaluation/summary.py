"""The whole judgement of a model: ``metrics.json``, which report, card and manifest are views of."""

from pathlib import Path

from pydantic import Field

from bento.artifact import Calibration, CalibrationMetrics, Interval, OperatingPoint, TestMetrics
from trainer.data.file_control import FileControl
from trainer.documents import Document, read_document
from trainer.evaluation.bootstrap import LEVEL, RESAMPLES, JudgedImages, metrics_with_intervals
from trainer.evaluation.calibration import Bin, reliability, uncalibrated
from trainer.evaluation.confounding import SiteFindings, site_warning
from trainer.evaluation.cross_site import CrossSite, PresentClasses
from trainer.evaluation.data_audit import Audit
from trainer.evaluation.failures import Failures
from trainer.evaluation.novelty_rates import NoveltyRates
from trainer.evaluation.operating_points import judge_threshold
from trainer.evaluation.scoring import Evaluation
from trainer.evaluation.seen_images import SeenImages
from trainer.evaluation.shortcut_controls import Control
from trainer.files import write_json

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
    controls: list[Control] = Field(default_factory=list)
    file_controls: list[FileControl] = Field(default_factory=list)
    """What the files' properties tell of the class, within each site of the run's data."""

    def add_warnings(self) -> None:
        """Set :attr:`warnings` from the other parts."""
        if self.seen_images is not None and self.seen_images.warning:
            self.warnings.append(self.seen_images.warning)
        self.warnings += [control.text for control in self.file_controls if control.fired]
        association, probe = self.sites.association, self.sites.probe
        if association is not None and association.together:
            macro_f1 = {name: metrics["macro_f1"] for name, metrics in self.intervals.by_site.items()}
            self.warnings.append(site_warning(association, macro_f1, self.intervals.test["macro_f1"]))
            if probe is not None and probe.accuracy.low > probe.chance_from_class:
                self.warnings.append(self.sites.probe_text)
        self.warnings += [f"Shortcut control: {control.text}" for control in self.controls if control.fired]


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


def _calibration(judged: JudgedImages, after: dict[str, Interval], temperature: float) -> CalibrationFindings:
    unscaled = judged.with_probabilities(uncalibrated(judged.probabilities, temperature))
    before = metrics_with_intervals(unscaled)
    return CalibrationFindings(
        temperature=temperature,
        before=CalibrationMetrics(ece=before["ece"], brier=before["brier"], cross_entropy=before["cross_entropy"]),
        after=CalibrationMetrics(ece=after["ece"], brier=after["brier"], cross_entropy=after["cross_entropy"]),
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
