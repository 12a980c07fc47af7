"""Assess an image by the model's own outputs and the input checks: what speaks against trusting an answer for it?"""

from dataclasses import dataclass

from bento.artifact import ORIENTATIONS, Manifest
from bento.imaging.intake import Intake
from bento.imaging.quality import InputWarning
from bento.inference.session import Prediction

NOT_LIKE_TRAINING = InputWarning(
    "not-like-training",
    "Outside what the model knows: this image is unlike the images that it was trained on. "
    "Its answer for it means nothing.",
)
WRONG_ORIENTATIONS = {
    "inverted": InputWarning(
        "inverted", "The image seems to be inverted: its bones are dark. Send it with bright bones."
    ),
    "rotated-left": InputWarning("rotated", "The image seems to lie on its side, turned to the left."),
    "rotated-right": InputWarning("rotated", "The image seems to lie on its side, turned to the right."),
    "upside-down": InputWarning("upside-down", "The image seems to be upside down."),
}
GRAVE = frozenset({"not-like-training", "blank", "colour", "inverted", "rotated", "upside-down"})
"""Kinds of input warnings for which a service that refuses what it does not know gives no answer."""


@dataclass(frozen=True)
class InputAssessment:
    """Novelty and input warnings of one image."""

    score: float | None
    """Novelty; None where the model can't tell."""
    in_distribution: bool | None
    """Whether the novelty is at most the manifest's threshold; None where the model can't tell."""
    warnings: tuple[InputWarning, ...]
    """The gravest first."""

    @property
    def refusal(self) -> str:
        """Why there should be no answer, without a full stop; empty where no warning is grave."""
        return " ".join(warning.text for warning in self.warnings if warning.kind in GRAVE).removesuffix(".")


def assess_input(intake: Intake, prediction: Prediction, manifest: Manifest) -> InputAssessment:
    """Novelty and input warnings of one image.

    Args:
        intake: the image as it went to the model.
        prediction: of that image alone.
        manifest: of the model.
    """
    score = in_distribution = None
    warnings: list[InputWarning] = []
    if manifest.novelty is not None and prediction.novelty is not None:
        score = float(prediction.novelty[0])
        in_distribution = score <= manifest.novelty.threshold
        warnings += [] if in_distribution else [NOT_LIKE_TRAINING]
    if prediction.orientation is not None:
        warnings += [
            WRONG_ORIENTATIONS[point.kind]
            for point in manifest.orientations
            if float(prediction.orientation[0, ORIENTATIONS.index(point.kind)]) >= point.threshold
        ]
    return InputAssessment(score, in_distribution, (*warnings, *intake.warnings))
