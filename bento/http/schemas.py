"""The service's answers as JSON, beside those for images. :class:`Metadata` is a view of the artifact's manifest."""

from datetime import datetime
from typing import Self

from bento.artifact import (
    SYNTHETIC_NOTICE,
    DataSummary,
    Manifest,
    NoveltyFit,
    OperatingPoint,
    OrientationPoint,
    SiteCalibration,
)
from bento.imaging.intake import FORMATS
from bento.imaging.preprocessing import Preprocessing
from bento.inference.answer import PredictResponse, Schema
from bento.inference.device import Device
from bento.settings import Settings


class MetricsSummary(Schema):
    """The model's metrics on its test images."""

    test_accuracy: float
    macro_f1: float
    weighted_f1: float


class RequestLimits(Schema):
    """What a request may hold."""

    max_upload_bytes: int
    max_pixels: int
    max_batch: int
    """Files of one request to /predict/batch."""
    max_batch_bytes: int
    formats: list[str]


class Metadata(Schema):
    """The model being served, and what it was made from."""

    model_name: str
    model_version: str
    device: Device
    """Where the model runs."""
    classes: list[str]
    metrics_summary: MetricsSummary
    preprocessing: Preprocessing
    temperature: float
    data: DataSummary
    notice: str | None
    """What must be known before reading any answer, e.g. that the model saw synthetic images only."""
    warnings: list[str]
    """What must be known before any metric is believed, e.g. that class and site go together."""
    operating_points: list[OperatingPoint]
    """The model's own thresholds; those of `site` stand for them where there are any."""
    site: SiteCalibration | None
    """Where the model is calibrated for a hospital: its thresholds, and what they were chosen on."""
    no_threshold: dict[str, str]
    """Classes that are never flagged, and why."""
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
    files: dict[str, str]
    """SHA-256 of the artifact's files, by name: which model this is, whatever its version is called."""

    @classmethod
    def of(cls, manifest: Manifest, settings: Settings, device: Device) -> Self:
        """Make the view of a manifest, with the device and the limits that the service's settings give."""
        metrics, shared = manifest.metrics, cls.model_fields.keys() & Manifest.model_fields.keys()
        limits = RequestLimits.model_fields.keys() & Settings.model_fields.keys()
        return cls(
            **{name: getattr(manifest, name) for name in shared - {"no_threshold"}},
            metrics_summary=MetricsSummary(
                test_accuracy=metrics.accuracy, macro_f1=metrics.macro_f1, weighted_f1=metrics.weighted_f1
            ),
            device=device,
            no_threshold=manifest.never_flagged,
            notice=SYNTHETIC_NOTICE if manifest.data.synthetic else None,
            request_limits=RequestLimits(**{name: getattr(settings, name) for name in limits}, formats=list(FORMATS)),
        )


class Health(Schema):
    """The process answers."""

    status: str = "ok"


class Problem(Schema):
    """A problem document (RFC 9457)."""

    type: str
    """Stable name of the kind of problem, and where it is explained."""
    title: str
    status: int
    detail: str
    """What is wrong with this very request."""
    request_id: str
    """As in the header X-Request-ID and the service's log."""


class BatchResult(Schema):
    """One file's answer: either a prediction or a problem."""

    index: int
    """Position of the file in the request, from 0."""
    prediction: PredictResponse | None = None
    problem: Problem | None = None


class BatchResponse(Schema):
    """One result for each file, in the order of the request."""

    results: list[BatchResult]


class ProblemKind(Schema):
    """What one kind of problem means."""

    type: str
    title: str
    status: int
    advice: str
