"""What the service says over HTTP. :class:`Metadata` is a view of the artifact's manifest."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from bento.artifact import SYNTHETIC_NOTICE, DataSummary, Manifest
from bento.images import FORMATS, Preprocessing
from bento.settings import Settings


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ClassPrediction(_Schema):
    """One class and how sure the model is of it."""

    label: str
    confidence: float = Field(ge=0, le=1)
    """Calibrated probability."""


class PredictResponse(_Schema):
    """The most probable classes, the first one first."""

    top_k: int
    """Number of predictions: three, or all classes where there are fewer."""
    predictions: list[ClassPrediction]
    model_name: str
    model_version: str


class MetricsSummary(_Schema):
    """The model's test figures."""

    test_accuracy: float
    macro_f1: float
    weighted_f1: float


class RequestLimits(_Schema):
    """What the service takes."""

    max_upload_bytes: int
    max_pixels: int
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
            intended_use=manifest.intended_use,
            limits=manifest.limits,
            request_limits=RequestLimits(
                max_upload_bytes=settings.max_upload_bytes,
                max_pixels=settings.max_pixels,
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


class ProblemKind(_Schema):
    """What one kind of problem means."""

    type: str
    title: str
    status: int
    advice: str
