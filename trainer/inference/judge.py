"""The service's answer for an image, made by every command that writes answers for many: one code path."""

from dataclasses import dataclass

from bento.imaging.intake import Intake
from bento.inference.answer import PredictResponse
from bento.inference.input_warnings import assess_input
from bento.inference.session import Prediction, Predictor


@dataclass(frozen=True)
class Answer:
    """What the model says of one image."""

    response: PredictResponse
    """The service's answer."""
    scores: dict[str, float]
    """The probability of every class, also of those that the service leaves out."""


def judge(predictor: Predictor, taken: Intake) -> tuple[Answer, Prediction]:
    """The answer for one image, and what the graph gave for it."""
    manifest = predictor.manifest
    prediction = predictor.predict(taken.image[None])
    probabilities = prediction.probabilities[0]
    scores = {name: float(value) for name, value in zip(manifest.classes, probabilities, strict=True)}
    assessment = assess_input(taken, prediction, manifest)
    return Answer(PredictResponse.of(probabilities, assessment, manifest), scores), prediction
