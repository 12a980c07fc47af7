"""What the service says over HTTP. :class:`Metadata` is a view of the artifact's manifest."""

from datetime import datetime
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from bento.artifact import (
    SYNTHETIC_NOTICE,
    DataSummary,
    Manifest,
    NoveltyFit,
    OperatingPoint,
    OrientationPoint,
)
from bento.imaging.intake import FORMATS
from bento.imaging.preprocessing import Preprocessing
from bento.inference.input_warnings import InputAssessment
from bento.settings import Settings

TOP_K = 3


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ClassPrediction(_Schema):
    """One class and how sure the model is of it."""

    label: str
    confidence: float = Field(ge=0, le=1)
    """Calibrated probability."""


class Flag(_Schema):
    """One class against the threshold that was chosen for it on validation data, for a wanted sensitivity."""

    label: str
    flagged: bool
    """The confidence is at least the threshold."""
    confidence: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1)
    target_sensitivity: float


class Novelty(_Schema):
    """How unlike the training images the image is."""

    score: float
    """Above the threshold: outside what the model knows. No probability; typical training images have about 1."""
    threshold: float


class InputWarning(_Schema):
    """A doubt about the image: the answer may mean nothing."""

    kind: str
    """`not-like-training`, `blank`, `colour`, `inverted`, `rotated`, `upside-down` or, later, others."""
    text: str
    """A sentence for people."""


class PredictResponse(_Schema):
    """The most probable classes, the first one first."""

    top_k: int
    """Number of predictions: three, or all classes where there are fewer."""
    predictions: list[ClassPrediction]
    flags: list[Flag]
    """One for each operating point of the model; ``/metadata`` says what it does on test images."""
    in_distribution: bool | None
    """Whether the image is like the images that the model was trained on; null where the model can't tell."""
    novelty: Novelty | None
    """The score that says so."""
    input_warnings: list[InputWarning]
    """Every doubt about the image, the gravest first."""
    model_name: str
    model_version: str

    @classmethod
    def of(cls, probabilities: npt.NDArray[np.float32], doubts: InputAssessment, manifest: Manifest) -> Self:
        """The answer for one image's probabilities, C of them in the manifest's order, and what is doubted of it."""
        scores = {name: float(value) for name, value in zip(manifest.classes, probabilities, strict=True)}
        top = [manifest.classes[i] for i in np.argsort(-probabilities, kind="stable")[:TOP_K]]
        return cls(
            top_k=len(top),
            predictions=[ClassPrediction(label=label, confidence=scores[label]) for label in top],
            flags=[
                Flag(
                    label=point.label,
                    flagged=scores[point.label] >= point.threshold,
                    confidence=scores[point.label],
                    threshold=point.threshold,
                    target_sensitivity=point.target_sensitivity,
                )
                for point in manifest.operating_points
            ],
            in_distribution=doubts.in_distribution,
            novelty=None
            if doubts.score is None or manifest.novelty is None
            else Novelty(score=doubts.score, threshold=manifest.novelty.threshold),
            input_warnings=[InputWarning(kind=one.kind, text=one.text) for one in doubts.warnings],
            model_name=manifest.model_name,
            model_version=manifest.model_version,
        )


class ImageFrame(_Schema):
    """Where the model's square lies on the image, as fractions of the image's width and height.

    Beyond [0, 1] where the square is padded; within it where borders were cut off.
    """

    left: float
    top: float
    right: float
    bottom: float


class ClassMap(_Schema):
    """One class's activation map."""

    label: str
    values: list[list[float]]
    """Rows of the grid that divides the frame evenly, from its top left; above 0: evidence for it. Not calibrated."""


class Explanation(_Schema):
    """Where the evidence for each class lies: regions, no outlines, and no proof that the answer is right."""

    image: str
    """The upright image that the maps belong on: a PNG of at most 512 pixels a side, as a `data:` URL."""
    frame: ImageFrame
    """Of the maps on the image."""
    maps: list[ClassMap]


class ExplainedResponse(PredictResponse):
    """As PredictResponse, with heat maps: the answer where `explain=true` was asked for."""

    explanation: Explanation


class MetricsSummary(_Schema):
    """The model's test figures."""

    test_accuracy: float
    macro_f1: float
    weighted_f1: float


class RequestLimits(_Schema):
    """What the service takes."""

    max_upload_bytes: int
    max_pixels: int
    max_batch: int
    """Files of one request to /predict/batch."""
    max_batch_bytes: int
    formats: list[str]


class Metadata(_Schema):
    """The model being served, and what it was made from."""

    model_name: str
    model_version: str
    classes: list[str]
    metrics_summary: MetricsSummary
    preprocessing: Preprocessing
    temperature: float
    data: DataSummary
    notice: str | None
    """What must be known before reading any answer, e.g. that the model saw synthetic images only."""
    warnings: list[str]
    """What must be known before any figure is believed, e.g. that class and site go together."""
    operating_points: list[OperatingPoint]
    novelty: NoveltyFit | None
    """How an image unlike the training images is told; null where the model can't."""
    orientations: list[OrientationPoint]
    """How images that are inverted, rotated or upside down are told."""
    intended_use: str
    limits: list[str]
    """Known limits of the model."""
    request_limits: RequestLimits
    created: datetime
    git_commit: str | None

    @classmethod
    def of(cls, manifest: Manifest, settings: Settings) -> Self:
        """The view of a manifest."""
        metrics = manifest.metrics
        return cls(
            model_name=manifest.model_name,
            model_version=manifest.model_version,
            classes=manifest.classes,
            metrics_summary=MetricsSummary(
                test_accuracy=metrics.accuracy, macro_f1=metrics.macro_f1, weighted_f1=metrics.weighted_f1
            ),
            preprocessing=manifest.preprocessing,
            temperature=manifest.temperature,
            data=manifest.data,
            notice=SYNTHETIC_NOTICE if manifest.data.synthetic else None,
            warnings=manifest.warnings,
            operating_points=manifest.operating_points,
            novelty=manifest.novelty,
            orientations=manifest.orientations,
            intended_use=manifest.intended_use,
            limits=manifest.limits,
            request_limits=RequestLimits(
                max_upload_bytes=settings.max_upload_bytes,
                max_pixels=settings.max_pixels,
                max_batch=settings.max_batch,
                max_batch_bytes=settings.max_batch_bytes,
                formats=list(FORMATS),
            ),
            created=manifest.created,
            git_commit=manifest.git_commit,
        )


class Health(_Schema):
    """The process answers."""

    status: str = "ok"


class Problem(_Schema):
    """A problem document (RFC 9457)."""

    type: str
    """Stable name of the kind of problem, and where it is explained."""
    title: str
    status: int
    detail: str
    """What is wrong with this very request."""
    request_id: str
    """As in the header X-Request-ID and the service's log."""


class BatchResult(_Schema):
    """One file's answer: either a prediction or a problem."""

    index: int
    """Position of the file in the request, from 0."""
    prediction: PredictResponse | None = None
    problem: Problem | None = None


class BatchResponse(_Schema):
    """One result for each file, in the order of the request."""

    results: list[BatchResult]


class ProblemKind(_Schema):
    """What one kind of problem means."""

    type: str
    title: str
    status: int
    advice: str
