"""The one door between the rooms: what a sealed model artifact holds, and how it is checked.

An artifact is a folder (an entry of the BentoML model store) with three files:

* ``model.onnx``: ``uint8`` images N×H×W in; ``probabilities`` N×C (calibrated), ``embedding`` N×D and ``cam``
  N×C×h×w (class activation map, as fine as the trainer could make it; its mean over h and w is the class's
  uncalibrated logit, less the head's bias) out, all ``float32``; since format 4 also ``novelty`` N (how unlike the
  training images; compare with :attr:`NoveltyFit.threshold`) and ``view`` N×5 (probability of each of :data:`ORIENTATIONS`);
* ``weights.safetensors``: the same weights for the trainer;
* ``manifest.json``: :class:`Manifest`, the contract of both rooms.
"""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bento.imaging.preprocessing import Preprocessing

FORMAT_VERSION = 5
"""2: intervals, operating points, calibration and warnings. 3: crop and contrast of the intake. 4: novelty and orientation.
5: other names for the same content (see :func:`renamed`).
Artifacts of an older format are read as having none."""
ORIENTATIONS = ("upright", "inverted", "rotated-left", "rotated-right", "upside-down")
"""Columns of the graph's ``view``. Inverted: bright lungs and dark bones."""
STORE_NAME = "chest_xray"
ONNX_FILE = "model.onnx"
WEIGHTS_FILE = "weights.safetensors"
MANIFEST_FILE = "manifest.json"

INTENDED_USE = (
    "Research and teaching: ranking of frontal chest radiographs by class for review by a qualified reader. "
    "Not a medical device; not for diagnosis."
)
SYNTHETIC_NOTICE = "synthetic sample data, no clinical meaning"


class ArtifactError(Exception):
    """The artifact can't be used: missing, damaged, or of a format that this program does not know."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassMetrics(_Frozen):
    """One class's test figures, each in [0, 1] but for ``support``, a number of images."""

    precision: float
    recall: float
    f1: float
    support: int


class TestMetrics(_Frozen):
    """Figures of one evaluation. ``confusion_matrix`` holds counts: rows true, columns predicted."""

    __test__ = False  # pytest would otherwise take the name for a test case

    images: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    cross_entropy: float
    per_class: dict[str, ClassMetrics]
    confusion_matrix: list[list[int]]


class Interval(_Frozen):
    """A figure and its 95 % bootstrap interval, resampled by patient."""

    value: float
    low: float
    high: float


class OperatingPoint(_Frozen):
    """A class's threshold, chosen on validation data alone, and what it then does on test data."""

    label: str
    threshold: float = Field(ge=0, le=1)
    """An image is flagged where the class's probability is at least this."""
    target_sensitivity: float = Field(gt=0, le=1)
    validation_sensitivity: float
    validation_specificity: float
    test_sensitivity: Interval | None
    """None where the test images have none of the class."""
    test_specificity: Interval | None


class CalibrationMetrics(_Frozen):
    """How far probabilities can be taken at their word, on test data."""

    ece: Interval
    """Expected calibration error of the top class, 15 bins of equal width (Guo et al. 2017)."""
    brier: Interval
    """Sum over the classes of the squared error, mean over the images; 0 to 2."""
    cross_entropy: Interval


class Calibration(_Frozen):
    """Before and after temperature scaling."""

    before: CalibrationMetrics
    after: CalibrationMetrics


class NoveltyFit(_Frozen):
    """How an image unlike the training images is told, and how often images of the model's own kind are taken for one."""

    method: str
    """What the score is, in a sentence."""
    images: int
    """Training images that it was fitted to."""
    threshold: float = Field(ge=0)
    """From validation images alone. An image whose score is above it lies outside what the model knows."""
    validation_pass: float = Field(ge=0, le=1)
    """Share of the validation images at or below the threshold."""
    test_flagged: Interval | None
    """Share of the test images above it, with the exact binomial interval."""
    test_flagged_by_site: dict[str, Interval] = Field(default_factory=dict)
    held_out_flagged: Interval | None = None
    """The same of the images of a site that was left out of training, where one was."""


class OrientationPoint(_Frozen):
    """One wrong way of showing an image: the threshold of its probability, from validation images alone."""

    kind: str
    """One of :data:`ORIENTATIONS`, but the first."""
    threshold: float = Field(ge=0, le=1)
    """An image is taken for shown so where the probability is at least this."""
    validation_recall: float
    """Share of validation images found that a program has shown so."""
    validation_false_alarms: float
    test_false_alarms: Interval | None
    """Share of untouched test images that are taken for shown so, with the exact binomial interval."""


class DataSummary(_Frozen):
    """What the model was trained on."""

    dataset: str
    """Name of the data set as the user gave it: ``kaggle:<handle>``, ``folder:<name>`` or ``sample:<parameters>``."""
    fingerprint: str
    """SHA-256 over every image's hash, label and split: two equal fingerprints mean the same data."""
    split: str
    """Protocol: ``grouped``, ``official`` or ``random``."""
    counts: dict[str, dict[str, int]]
    """Images by split, then by class."""
    sites: dict[str, int] = Field(default_factory=dict)
    """Images by site (hospital), where the data set names them."""
    synthetic: bool = False


class Manifest(_Frozen):
    """The contract of both rooms. ``/metadata`` and every report are views of it."""

    format_version: int = FORMAT_VERSION
    model_name: str
    """Backbone, one of the trainer's table, e.g. ``efficientnet_b0``."""
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
    """Every test figure with its interval, e.g. ``macro_f1`` or ``roc_auc.TUBERCULOSIS``."""
    intervals_by_site: dict[str, dict[str, Interval]] = Field(default_factory=dict)
    operating_points: list[OperatingPoint] = Field(default_factory=list)
    calibration: Calibration | None = None
    novelty: NoveltyFit | None = None
    orientations: list[OrientationPoint] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    """What must be known before any figure is believed, e.g. that class and site go together."""
    data: DataSummary
    config: dict[str, Any]
    """The run's settings, as saved with the run."""
    libraries: dict[str, str]
    git_commit: str | None
    files: dict[str, str]
    """SHA-256 of every other file of the artifact, by name."""
    intended_use: str = INTENDED_USE
    limits: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes are not distinct: {self.classes}")
        if set(self.metrics.per_class) != set(self.classes):
            raise ValueError("metrics.per_class does not name the classes of the model")
        if not {point.label for point in self.operating_points} <= set(self.classes):
            raise ValueError("operating_points name a class that the model does not have")
        if not {point.kind for point in self.orientations} <= set(ORIENTATIONS[1:]):
            raise ValueError("orientations name a kind that is none")
        if ONNX_FILE not in self.files:
            raise ValueError(f"files does not name {ONNX_FILE}")
        return self


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_manifest(folder: Path) -> Manifest:
    """Read and check an artifact folder: manifest first, then the hash of every file that it names.

    Raises:
        ArtifactError: one line that says what is wrong and where.
    """
    path = folder / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read ({error.strerror}); publish the model again") from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: not text in UTF-8; publish the model again") from error
    try:
        head = _Head.model_validate_json(text)
        if head.format_version > FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format version {head.format_version} is newer than {FORMAT_VERSION}, "
                "which this program knows; update the program"
            )
        manifest = Manifest.model_validate(renamed(json.loads(text)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise ArtifactError(f"{path}: {where}: {first['msg']}; publish the model again") from error
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{file}: missing; publish the model again")
        try:
            actual = sha256_file(file)
        except OSError as error:
            raise ArtifactError(f"{file}: can't be read ({error.strerror}); publish the model again") from error
        if actual != expected:
            raise ArtifactError(f"{file}: SHA-256 differs from the manifest's; publish the model again")
    return manifest


RENAMED = {
    "metrics_by_source": "metrics_by_site",
    "intervals_by_source": "intervals_by_site",
    "views": "orientations",
    "sources": "sites",
    "films": "images",
    "test_flagged_by_source": "test_flagged_by_site",
    "hold_out_source": "hold_out_site",
    "source_alignment": "site_alignment",
}
"""Names of formats 1 to 4 and what format 5 calls the same; ``config`` too, which holds a run's settings."""


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest of format 1 to 4 with the names of format 5; one of format 5 as it is."""
    if document.get("format_version", 1) >= 5:
        return document
    parts = ("data", "novelty", "config")
    result = {RENAMED.get(name, name): value for name, value in document.items()}
    for name in parts:
        if isinstance(result.get(name), dict):
            # A setting is called `views` too: of the augmentation.
            kept = {"views"} if name == "config" else set()
            result[name] = {key if key in kept else RENAMED.get(key, key): value for key, value in result[name].items()}
    return result


class _Head(BaseModel):
    format_version: int
