"""Shortcut controls: the macro F1 of classifiers that can't see disease.

What they reach on the images that the model is judged by, the model may have reached without looking at the lungs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bento.artifact import Interval
from trainer.data.duplicates import SIDE
from trainer.evaluation.bootstrap import JudgedImages, MetricValues, intervals, macro_f1
from trainer.evaluation.figures import figure, figure_with_interval
from trainer.running.documents import Document
from trainer.types import Floats, Integers

MARGIN = 8
"""The lungs are taken to lie inside the image less an eighth of its side at each edge."""
NOTABLE = {"thumbnail": 1 / 2, "border": 1 / 4, "lungs_blacked_out": 1 / 4, "shuffled": 1 / 8}
"""A control is a warning where its interval lies above this share of the model's gain over chance. A thumbnail shows
gross disease too, so it may have more; a mean over few shuffles is not chance itself, so it may have some."""
LOST = 1 / 3
"""The lungs alone are a warning where the interval says that more than this share of the gain is lost."""
PERMUTATIONS = 200
SHUFFLES = 10
SHUFFLED_STRENGTH = 0.01
"""Inverse strength of the regularisation, for embeddings that have more features than there are images."""


LEAST_PATIENTS = 20
"""With fewer test patients no control is a warning, whatever its interval: it could be the luck of a few."""


CONTROLS: dict[str, tuple[str, tuple[str, str], str]] = {
    "thumbnail": (
        "A logistic regression on an 8×8 thumbnail",
        (
            "little of the model's score can be had without detail.",
            "much of the model's score needs no detail that a reader would look for.",
        ),
        "how much of the score can be had without detail",
    ),
    "border": (
        "A border-only classifier (the outer ring of that thumbnail)",
        ("the image's edges tell little of the class.", "much of the model's score needs no lungs."),
        "how much of the score needs no lungs",
    ),
    "lungs_blacked_out": (
        "The model itself with the central lung region blacked out",
        (
            "it needs the central region.",
            "much of its score needs no lungs: it reads something at the image's edges.",
        ),
        "whether it needs the central region",
    ),
    "lungs_only": (
        "The model itself with nothing but the central lung region",
        (
            "the central region carries most of its score.",
            "it loses much of its score without the image's edges (or is put off by their being black).",
        ),
        "whether the central region carries its score",
    ),
    "shuffled": (
        "A linear head on the model's embedding, fitted to shuffled labels",
        (
            "as it should be, nothing can be learnt from labels without meaning.",
            "better than chance from labels without meaning: test data leak into the evaluation.",
        ),
        "whether anything can be learnt from labels without meaning",
    ),
}
"""Each control's name; what its macro F1 means while it is quiet, and when it fires; and what else can't be told."""


class Control(Document):
    """One control's metrics beside the model's, on the same images."""

    name: str
    macro_f1: Interval
    by_site: dict[str, float]
    """Macro F1 of each site, where the data name any."""
    share: float
    """How much of the model's gain over chance the control has too."""
    fired: bool
    text: str
    """What it shows, in words."""


def pooled(thumbnails: npt.NDArray[np.uint8], side: int) -> Floats:
    """Thumbnails N×SIDE×SIDE as features N×side²: the means of blocks; ``side`` divides :data:`SIDE`."""
    step = SIDE // side
    blocks = thumbnails.reshape(len(thumbnails), side, step, side, step)
    return np.asarray(blocks.mean(axis=(2, 4)).reshape(len(thumbnails), side * side))


def occluded(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The image with its central region black, and with all but that region black."""
    edge = len(image) // MARGIN
    inner = (slice(edge, len(image) - edge),) * 2
    border, lungs = image.copy(), np.zeros_like(image)
    border[inner] = 0
    lungs[inner] = image[inner]
    return border, lungs


def chance_macro_f1(judged: JudgedImages) -> float:
    """The model's mean macro F1 against shuffled test labels."""
    rng = np.random.default_rng(0)
    predicted = judged.probabilities.argmax(axis=1)
    weights = np.ones((1, len(predicted)))
    values = [
        macro_f1(rng.permutation(judged.truth), predicted, len(judged.classes), weights)[0] for _ in range(PERMUTATIONS)
    ]
    return float(np.mean(values))


def linear_predictions(features: Floats, truth: Integers, test_features: Floats, strength: float = 1.0) -> Integers:
    """Class indices that a class-balanced logistic regression gives the test rows."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=1000))
    return np.asarray(model.fit(features, truth).predict(test_features))


def shuffled_predictions(features: Floats, truth: Integers, test_features: Floats) -> Integers:
    """Class indices R×N by R classifiers, each fitted to the labels in another random order."""
    rng = np.random.default_rng(0)
    fits = [
        linear_predictions(features, rng.permutation(truth), test_features, SHUFFLED_STRENGTH) for _ in range(SHUFFLES)
    ]
    return np.stack(fits)


def border_pixels(thumbnails: npt.NDArray[np.uint8]) -> Floats:
    """The outer ring of the 8×8 thumbnails, N×28: what lies outside the region that :func:`occluded` blacks out."""
    ring = np.ones((8, 8), dtype=bool)
    ring[1:-1, 1:-1] = False
    return np.asarray(pooled(thumbnails, 8)[:, ring.ravel()])


def judge_controls(judged: JudgedImages, sites: Sequence[str], predictions: dict[str, Integers]) -> list[Control]:
    """Judge the controls' predictions beside the model's.

    Args:
        judged: the test images and the model's probabilities.
        sites: of each image; empty where unknown.
        predictions: N class indices of each control by its key in :data:`CONTROLS`; R×N where a control was tried R
            times, of which the mean counts.
    """
    chance = chance_macro_f1(judged)
    guesses = judged.probabilities.argmax(axis=1)
    model = _plain_macro_f1(judged, guesses)
    named, images = np.array(sites), len(judged.truth)
    controls = []
    for key, predicted in predictions.items():
        name, verdict, question = CONTROLS[key]
        metric, excess = _compare(key, judged, guesses, predicted, chance)
        share = (metric.value - chance) / max(model - chance, 1e-9)
        told = len(set(judged.patients)) >= LEAST_PATIENTS and not excess.low <= 0 <= excess.high
        fired = told and excess.low > 0
        by_site = {
            str(site): _plain_macro_f1(judged.subset(named == site), predicted[..., named == site])
            for site in sorted(set(sites) - {""})
        }
        text = (
            f"{name} reaches {figure_with_interval(metric, images)} macro F1 on {images:,} test images (model "
            f"{figure(model, images)}, chance {figure(chance, images)}): "
        ) + (verdict[fired] if told else f"that many can't tell {question}.")
        controls.append(Control(name=name, macro_f1=metric, by_site=by_site, share=share, fired=fired, text=text))
    return controls


def _compare(
    key: str, judged: JudgedImages, guesses: Integers, predicted: Integers, chance: float
) -> tuple[Interval, Interval]:
    """A control's macro F1, and by how much it is beyond what :data:`NOTABLE` and :data:`LOST` allow it."""

    def metrics(weights: Floats) -> MetricValues:
        model, control = (_mean_macro_f1(judged, rows, weights) for rows in (guesses, predicted))
        gain = np.maximum(model - chance, 0)
        excess = model - LOST * gain - control if key == "lungs_only" else control - chance - NOTABLE.get(key, 0) * gain
        return {"macro_f1": control, "excess": excess}

    compared = intervals(metrics, judged.patients)
    return compared["macro_f1"], compared["excess"]


def _mean_macro_f1(judged: JudgedImages, predicted: Integers, weights: Floats) -> Floats:
    tries = [macro_f1(judged.truth, row, len(judged.classes), weights) for row in np.atleast_2d(predicted)]
    return np.asarray(np.mean(tries, axis=0))


def _plain_macro_f1(judged: JudgedImages, predicted: Integers) -> float:
    return float(_mean_macro_f1(judged, predicted, np.ones((1, len(judged.truth))))[0])
