"""Doubts about an image: what the model's own outputs and the input checks say against an answer for it."""

from dataclasses import dataclass

from bento.artifact import VIEWS, Manifest
from bento.imaging.intake import Intake
from bento.imaging.quality import InputWarning
from bento.inference.session import Prediction

NOT_LIKE_TRAINING = InputWarning(
    "not-like-training",
    "Outside what the model knows: this image is unlike the films that it was trained on. "
    "Its answer for it means nothing.",
)
WRONG_VIEWS = {
    "inverted": InputWarning(
        "inverted", "The film seems to be inverted: its bones are dark. Send it with bright bones."
    ),
    "rotated-left": InputWarning("rotated", "The film seems to lie on its side, turned to the left."),
    "rotated-right": InputWarning("rotated", "The film seems to lie on its side, turned to the right."),
    "upside-down": InputWarning("upside-down", "The film seems to be upside down."),
}
GRAVE = frozenset({"not-like-training", "blank", "colour", "inverted", "rotated", "upside-down"})
"""Kinds for which a service that refuses what it does not know gives no answer."""


@dataclass(frozen=True)
class Doubts:
    """What is doubted of one image."""

    score: float | None
    """Novelty; None where the model can't tell."""
    in_distribution: bool | None
    """Whether the score is at most the threshold."""
    warnings: tuple[InputWarning, ...]
    """The gravest first."""

    @property
    def refusal(self) -> str:
        """Why there should be no answer for it, without a full stop; empty where nothing speaks against one."""
        return " ".join(one.text for one in self.warnings if one.kind in GRAVE).removesuffix(".")


def doubts_of(intake: Intake, prediction: Prediction, manifest: Manifest) -> Doubts:
    """What is doubted of the one image that ``prediction`` is of."""
    score = known = None
    found: list[InputWarning] = []
    if manifest.novelty is not None and prediction.novelty is not None:
        score = float(prediction.novelty[0])
        known = score <= manifest.novelty.threshold
        found += [] if known else [NOT_LIKE_TRAINING]
    if prediction.view is not None:
        found += [
            WRONG_VIEWS[point.kind]
            for point in manifest.views
            if float(prediction.view[0, VIEWS.index(point.kind)]) >= point.threshold
        ]
    return Doubts(score, known, (*found, *intake.warnings))
