"""Orientation: whether an image is upright, inverted, turned on its side or upside down, told from the frozen features.

The head is a multinomial regression on copies of training images that are turned by a program, so that the truth is
known by construction. Left for right can't be told: a mirrored image is a rare but possible patient.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from bento.artifact import ORIENTATIONS, OrientationPoint
from bento.cpu import available_cores
from bento.imaging.intake import fit, read_radiograph
from trainer.features.decoded_store import ImageFiles
from trainer.types import Array

FALSE_ALARMS = 0.005
"""Most of the untouched validation images that may be taken for one of the wrong orientations."""
LEAST_PROBABILITY = 0.5
STRENGTH = 0.01
"""Of the regression's inverse regularisation: with a few hundred images there are more features than needed."""

Change = Callable[[Image.Image], Image.Image]
TURNS: dict[str, Change] = {
    "inverted": ImageOps.invert,
    "rotated-left": lambda radiograph: radiograph.transpose(Image.Transpose.ROTATE_90),
    "rotated-right": lambda radiograph: radiograph.transpose(Image.Transpose.ROTATE_270),
    "upside-down": lambda radiograph: radiograph.transpose(Image.Transpose.ROTATE_180),
}
"""What makes each wrong orientation of an image of mode ``L``, before the intake."""


def changed_images(files: ImageFiles, rows: Array, changes: Sequence[Change]) -> Array:
    """Images that are changed before the intake, ``uint8`` N×S×S.

    Args:
        files: image files and their intake.
        rows: N indices into ``files``.
        changes: N changes, one per image.
    """

    def changed(row: int, change: Change) -> Array:
        return fit(change(read_radiograph(files.paths[row], files.spec.image_size).radiograph), files.spec).image

    with ThreadPoolExecutor(files.workers or available_cores()) as pool:
        return np.stack(list(pool.map(changed, rows, changes)))


class OrientationHead(nn.Module):
    """Pooled features N×D to the probability of each of ``ORIENTATIONS``, N×5."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """``weight``: 5×D. ``bias``: 5."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    @classmethod
    def fit(cls, features: Array, orientations: Array) -> "OrientationHead":
        """From ``features`` N×D and ``orientations``, N indices into ``ORIENTATIONS``, all of which occur."""
        # Takes a second; training should begin before that.
        from sklearn.linear_model import LogisticRegression

        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 1e-6, spread, 1.0)
        regression = LogisticRegression(C=STRENGTH, max_iter=500)
        regression.fit((features - mean) / spread, orientations)
        weight = regression.coef_ / spread
        bias = regression.intercept_ - weight @ mean
        return cls(*(torch.tensor(value, dtype=torch.float32) for value in (weight, bias)))

    def forward(self, features: Tensor) -> Tensor:
        return torch.softmax(features @ self.weight.T + self.bias, dim=1)


def orientation_points(untouched: Array, turned: dict[str, Array]) -> list[OrientationPoint]:
    """A threshold for each wrong orientation, and what it does on validation images.

    Args:
        untouched: N×5 probabilities of validation images as they are; at most :data:`FALSE_ALARMS` of them may be
            taken for each wrong orientation.
        turned: M×5 probabilities of validation images in each wrong orientation.
    """
    points = []
    for kind, probabilities in turned.items():
        column = ORIENTATIONS.index(kind)
        spared = int(FALSE_ALARMS * len(untouched))
        highest = float(np.sort(untouched[:, column])[-1 - spared])
        threshold = min(1.0, max(LEAST_PROBABILITY, highest + 1e-4))
        points.append(
            OrientationPoint(
                kind=kind,
                threshold=threshold,
                validation_recall=float((probabilities[:, column] >= threshold).mean()),
                validation_false_alarms=float((untouched[:, column] >= threshold).mean()),
                test_false_alarms=None,
            )
        )
    return points
