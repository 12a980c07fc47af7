"""Which images of a folder to draw, by their scores: most where a label says most about a threshold.

The strata are of equal aggregate size measure, so that an equal number of images of each is Neyman's allocation
(Wright 1983; Särndal, Swensson & Wretman 1992, 12.4). The size measure of an image is the standard deviation of a label
whose log odds are how far its score is from the middle between the threshold and even odds: between these two the
label is in doubt, and a site's own threshold is most likely there.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
STRATA = 6
IMAGES_EACH = 6
"""Images that a stratum is to have drawn; with fewer in all, there are fewer strata."""
LEAST_DRAWN = 2
"""Images drawn of each stratum that has so many: without a second one, its variance is not known."""
LEAST_DOUBT = 0.02
"""Chance of the other label that every image is taken to have at least: the score may be wrong at this site."""
EDGE = 1e-6
"""Scores nearer to 0 or 1 count as this near."""


@dataclass(frozen=True)
class Strata:
    """N images by stratum."""

    numbers: Integers
    """Stratum of each image, 0 to H - 1 in the order of the scores."""
    images: Integers
    """H numbers of images."""
    drawn: Integers
    """H numbers of images to draw."""


def stratify(scores: Floats, threshold: float, number: int) -> Strata:
    """Divide images into strata, and say how many of each to draw; the threshold divides two strata.

    Args:
        scores: N odds.
        threshold: the model's own.
        number: of images to draw; all are drawn where there are no more.
    """
    doubt = _doubt(scores, threshold)
    below = scores < threshold
    sides = [side for side in (below, ~below) if side.any()]
    wanted = int(np.clip(number // IMAGES_EACH, len(sides), STRATA))
    shares = [float(doubt[side].sum() / doubt.sum()) for side in sides]
    first = int(np.clip(round(wanted * shares[0]), 1, wanted - len(sides) + 1))
    numbers = np.zeros(len(scores), dtype=np.int64)
    for side, strata, start in zip(sides, (first, wanted - first), (0, first), strict=False):
        rows = np.flatnonzero(side)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        passed = (np.cumsum(doubt[rows]) - doubt[rows] / 2) / doubt[rows].sum()
        numbers[rows] = start + np.minimum((passed * strata).astype(np.int64), strata - 1)
    numbers = np.unique(numbers, return_inverse=True)[1]
    images = np.bincount(numbers)
    return Strata(numbers, images, _allocate(images, np.bincount(numbers, doubt).astype(np.float64), number))


def _doubt(scores: Floats, threshold: float) -> Floats:
    """Size measure of each image."""
    logits = np.log(np.clip(scores, EDGE, 1 - EDGE)) - np.log(np.clip(1 - scores, EDGE, 1 - EDGE))
    threshold = min(max(threshold, EDGE), 1 - EDGE)
    chance = 1 / (1 + np.exp(math.log(threshold / (1 - threshold)) / 2 - logits))
    chance = np.clip(chance, LEAST_DOUBT, 1 - LEAST_DOUBT)
    return np.asarray(np.sqrt(chance * (1 - chance)))


def _allocate(images: npt.NDArray[np.int64], doubt: Floats, number: int) -> npt.NDArray[np.int64]:
    """Images to draw of each stratum, in proportion to its aggregate doubt (Webster's method), at least two if it has
    them."""
    drawn = np.minimum(images, LEAST_DRAWN)
    while drawn.sum() < min(number, int(images.sum())):
        drawn[np.where(drawn < images, doubt / (drawn + 0.5), -1.0).argmax()] += 1
    return drawn


def draw(strata: Strata, seed: int) -> Integers:
    """Positions of the drawn images, in a random order that tells nothing of their scores."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(np.flatnonzero(strata.numbers == stratum), int(drawn), replace=False)
        for stratum, drawn in enumerate(strata.drawn.tolist())
    ]
    return np.asarray(rng.permutation(np.concatenate(rows)))
