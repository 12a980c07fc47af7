"""The answer for one image: predictions, flags, novelty, input warnings and, where asked for, heat maps."""

from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from bento.artifact import Manifest, Threshold
from bento.imaging.intake import ImageFrame
from bento.imaging.quality import InputWarning
from bento.inference.input_warnings import InputAssessment
from bento.inference.odds import odds, probability_at_site

TOP_K = 3
"""Number of predictions in an answer, where the model has so many classes."""


class Schema(BaseModel):
    """Base of everything that leaves as JSON: immutable, described by the docstrings below its fields."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ClassPrediction(Schema):
    """One class and how sure the model is of it."""

    label: str
    confidence: float = Field(ge=0, le=1)
    """Calibrated probability."""


class Flag(Schema):
    """One disease against its threshold: the site's where the model is calibrated for one, else the model's own."""

    label: str
    flagged: bool
    """The score is at least the threshold."""
    score: float = Field(ge=0, le=1)
    """The odds `p / (p + p_reference)` of the class against the reference class; without one, its probability."""
    reference: str | None
    threshold: float = Field(ge=0, le=1)
    target_sensitivity: float
    probability: float | None = Field(ge=0, le=1)
    """Of the disease, at the site that the model is calibrated for and at the prevalence that it states; it rises with
    the score. Null where the model is not calibrated, or no prevalence is stated."""


class Novelty(Schema):
    """How unlike the training images the image is."""

    score: float
    """Above the threshold: outside what the model knows. No probability; typical images have about 1."""
    threshold: float


class PredictResponse(Schema):
    """The most probable classes, the first one first."""

    top_k: int
    """Number of predictions: three, or all classes where there are fewer."""
    predictions: list[ClassPrediction]
    flags: list[Flag]
    """One for each disease that has a threshold; ``/metadata`` says what it does on test images, or at the site."""
    in_distribution: bool | None
    """Whether the image is like the images that the model was trained on; null where the model can't tell."""
    novelty: Novelty | None
    """The score that says so."""
    input_warnings: list[InputWarning]
    """What speaks against trusting the answer, the gravest first."""
    model_name: str
    model_version: str

    @classmethod
    def of(cls, probabilities: npt.NDArray[np.float32], assessment: InputAssessment, manifest: Manifest) -> Self:
        """Combine what the model says of one image with what speaks against it.

        Args:
            probabilities: C floats in the order of the manifest's classes.
            assessment: the image's novelty and input warnings.
            manifest: of the artifact that the probabilities come from.
        """
        scores = {name: float(value) for name, value in zip(manifest.classes, probabilities, strict=True)}
        top = [manifest.classes[i] for i in np.argsort(-probabilities, kind="stable")[:TOP_K]]
        return cls(
            top_k=len(top),
            predictions=[ClassPrediction(label=label, confidence=scores[label]) for label in top],
            flags=[_flag(point, probabilities, manifest) for point in manifest.thresholds],
            in_distribution=assessment.in_distribution,
            novelty=None
            if assessment.score is None or manifest.novelty is None
            else Novelty(score=assessment.score, threshold=manifest.novelty.threshold),
            input_warnings=list(assessment.warnings),
            model_name=manifest.model_name,
            model_version=manifest.model_version,
        )


def _flag(point: Threshold, probabilities: npt.NDArray[np.float32], manifest: Manifest) -> Flag:
    score = float(odds(probabilities[None], manifest.classes, point.label, point.reference)[0])
    fits = {fit.label: fit for fit in manifest.site.recalibration} if manifest.site else {}
    return Flag(
        label=point.label,
        flagged=score >= point.threshold,
        score=score,
        reference=point.reference,
        threshold=point.threshold,
        target_sensitivity=point.target_sensitivity,
        probability=probability_at_site(score, fits[point.label]) if point.label in fits else None,
    )


class ClassMap(Schema):
    """One class's activation map."""

    label: str
    values: list[list[float]]
    """Rows of the grid that divides the frame evenly, from its top left; above 0: evidence for it. Not calibrated."""


class Explanation(Schema):
    """Where the evidence for each class lies: regions, no outlines, and no proof that the answer is right."""

    image: str
    """The upright image that the maps belong on: a JPEG of at most 512 pixels a side, as a `data:` URL."""
    frame: ImageFrame
    """Of the maps on the image."""
    maps: list[ClassMap]


class ExplainedResponse(PredictResponse):
    """As PredictResponse, with heat maps: the answer where `explain=true` was asked for."""

    explanation: Explanation
