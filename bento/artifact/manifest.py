"""The manifest of a sealed model: the contract between training and serving."""

from datetime import datetime
from typing import Any

from pydantic import Field, model_validator

from bento.artifact.parts import Interval, Threshold
from bento.artifact.reference import ReferenceDistributions
from bento.artifact.site import SiteCalibration
from bento.imaging.preprocessing import ManifestPart, Preprocessing

FORMAT_VERSION = 7
"""2: intervals, operating points, calibration and warnings. 3: crop and contrast of the intake. 4: novelty and
orientations. 5: the content of format 4 under other names (:data:`~bento.artifact.folder.FORMER_NAMES`). 6: the list
of seen images. 7: a site's calibration, and the distributions that drift is measured against. Artifacts of an older
format are read as having none of what came later."""
ORIENTATIONS = ("upright", "inverted", "rotated-left", "rotated-right", "upside-down")
"""Columns of the graph's ``view``. Inverted: bright lungs and dark bones."""
STORE_NAME = "chest_xray"
ONNX_FILE = "model.onnx"

INTENDED_USE = (
    "Research and teaching: ranking of frontal chest radiographs by class for review by a qualified reader. "
    "Not a medical device; not for diagnosis."
)
SYNTHETIC_NOTICE = "synthetic sample data, no clinical meaning"


class ClassMetrics(ManifestPart):
    """One class's test metrics: ``support`` is its number of images, the others are in [0, 1]."""

    precision: float
    recall: float
    f1: float
    support: int


class TestMetrics(ManifestPart):
    """Metrics of one evaluation. ``confusion_matrix`` holds counts: rows true, columns predicted."""

    __test__ = False  # pytest would otherwise take the name for a test case

    images: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    cross_entropy: float
    per_class: dict[str, ClassMetrics]
    confusion_matrix: list[list[int]]


class OperatingPoint(Threshold):
    """The model's own threshold, chosen on validation data alone, and what it then does on test data."""

    validation_positives: int | None = None
    """Validation images of the class, and of ``reference``, that the threshold was chosen on; None: not recorded."""
    validation_negatives: int | None = None
    validation_sensitivity: float
    validation_specificity: float
    test_sensitivity: Interval | None
    """None where the test images have none of the class."""
    test_specificity: Interval | None


class CalibrationMetrics(ManifestPart):
    """How far probabilities can be taken at their word, measured on test data."""

    ece: Interval
    """Expected calibration error of the top class, 15 bins of equal width (Guo et al. 2017)."""
    brier: Interval
    """Sum over the classes of the squared error, mean over the images; 0 to 2."""
    cross_entropy: Interval


class Calibration(ManifestPart):
    """Calibration before and after temperature scaling (Guo et al. 2017)."""

    before: CalibrationMetrics
    after: CalibrationMetrics


class NoveltyFit(ManifestPart):
    """How an image unlike the training images is told, and how often ordinary images are taken for one."""

    method: str
    """What the score is, in a sentence."""
    images: int
    """Training images that it was fitted to."""
    threshold: float = Field(ge=0)
    """Chosen on validation images alone. An image whose score is above it lies outside what the model knows."""
    validation_pass: float = Field(ge=0, le=1)
    """Share of the validation images at or below the threshold."""
    test_flagged: Interval | None
    """Share of the test images above it."""
    test_flagged_by_site: dict[str, Interval] = Field(default_factory=dict)
    """The same share for each site's test images."""
    held_out_flagged: Interval | None = None
    """The same share for the images of the site that was left out of training, where one was."""


class OrientationPoint(ManifestPart):
    """A wrong orientation: the threshold of its probability, chosen on validation images alone."""

    kind: str
    """One of :data:`ORIENTATIONS`, but the first."""
    threshold: float = Field(ge=0, le=1)
    """An image is taken to be in this orientation where the probability is at least this."""
    validation_recall: float
    """Share of validation images, put into this orientation, that are recognised."""
    validation_false_alarms: float
    """Share of upright validation images that are taken to be in this orientation."""
    test_false_alarms: Interval | None
    """The same share of upright test images."""


class DataSummary(ManifestPart):
    """What the model was trained on."""

    dataset: str
    """Name of the dataset as the user gave it: ``kaggle:<handle>``, ``folder:<name>`` or ``sample:<parameters>``."""
    fingerprint: str
    """SHA-256 over every image's hash, label and split: equal fingerprints mean the same data."""
    split: str
    """Protocol: ``grouped``, ``official`` or ``random``."""
    counts: dict[str, dict[str, int]]
    """Images by split, then by class."""
    sites: dict[str, int] = Field(default_factory=dict)
    """Images by site (hospital), where the dataset names them."""
    synthetic: bool = False


class Manifest(ManifestPart):
    """Everything that is known about the model. ``/metadata``, the model card and the report are views of it."""

    format_version: int = FORMAT_VERSION
    model_name: str
    """Name of the backbone in the trainer's table, e.g. ``efficientnet_b0``."""
    model_version: str
    """Version in the model store."""
    created: datetime
    classes: list[str] = Field(min_length=2)
    preprocessing: Preprocessing
    temperature: float = Field(gt=0)
    """Divisor of the logits, fitted on validation data (Guo et al. 2017); already inside ``model.onnx``."""
    metrics: TestMetrics
    metrics_by_site: dict[str, TestMetrics] = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict)
    """Every test metric with its interval, e.g. ``macro_f1`` or ``roc_auc.TUBERCULOSIS``."""
    intervals_by_site: dict[str, dict[str, Interval]] = Field(default_factory=dict)
    operating_points: list[OperatingPoint] = Field(default_factory=list)
    no_threshold: dict[str, str] = Field(default_factory=dict)
    """Classes without an operating point, and why they have none."""
    calibration: Calibration | None = None
    novelty: NoveltyFit | None = None
    orientations: list[OrientationPoint] = Field(default_factory=list)
    reference: ReferenceDistributions | None = None
    """Of the validation images, or of a site's calibration images; drift is measured against it. None of models of
    formats 1 to 6."""
    warnings: list[str] = Field(default_factory=list)
    """What must be known before any metric is believed, e.g. that class and site go together."""
    data: DataSummary
    config: dict[str, Any]
    """The run's settings, as saved with the run."""
    libraries: dict[str, str]
    git_commit: str | None
    files: dict[str, str]
    """SHA-256 of every other file of the artifact, by its name."""
    intended_use: str = INTENDED_USE
    limits: list[str] = Field(default_factory=list)
    site: SiteCalibration | None = None
    """Where the model is calibrated for a hospital: its thresholds, which stand for the model's own."""

    @property
    def thresholds(self) -> list[Threshold]:
        """What images are flagged by: a site's threshold where it has one for the disease, else the model's own."""
        at_site = self.site.thresholds if self.site else []
        in_use: dict[str, Threshold] = {point.label: point for point in (*self.operating_points, *at_site)}
        return [in_use[name] for name in self.classes if name in in_use]

    @property
    def never_flagged(self) -> dict[str, str]:
        """Classes that have no threshold at all, and why."""
        flagged = {point.label for point in self.thresholds}
        return {label: why for label, why in self.no_threshold.items() if label not in flagged}

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes are not distinct: {self.classes}")
        if set(self.metrics.per_class) != set(self.classes):
            raise ValueError("metrics.per_class does not name the classes of the model")
        named = {name for point in self.operating_points for name in (point.label, point.reference) if name}
        if not named <= set(self.classes):
            raise ValueError("operating_points name a class that the model does not have")
        if not {point.kind for point in self.orientations} <= set(ORIENTATIONS[1:]):
            raise ValueError("orientations name a kind that is none")
        told = {f"score.{point.label}" for point in self.thresholds} | ({"novelty"} if self.novelty else set())
        watched = self.reference.histograms if self.reference else {}
        if any((name == "novelty" or name.startswith("score.")) and name not in told for name in watched):
            raise ValueError("reference names a score that the model does not give")
        if ONNX_FILE not in self.files:
            raise ValueError(f"files does not name {ONNX_FILE}")
        return self
