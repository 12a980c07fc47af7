"""How many images a test of two rates needs, and what each look at them may spend of its error: exact binomial.

A rate is shown to reach its target where its lower limit (Clopper & Pearson 1934) does. With several looks, each look's
limit has a level of its own: the error is spent as O'Brien and Fleming's boundary does (Lan & DeMets 1983), and what
each level is worth follows from the exact distribution of the counts (Jennison & Turnbull 2000, chapter 12).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import convolve
from scipy.special import betaincinv, ndtr, ndtri
from scipy.stats import binom

ALPHA = 0.025
"""Largest chance that a rate which misses its target is taken to reach it, over all looks."""
MOST_IMAGES = 10_000

Chances = npt.NDArray[np.float64]


def spent(fraction: float, alpha: float = ALPHA) -> float:
    """Share of ``alpha`` that may be spent up to a look: Lan and DeMets' form of O'Brien and Fleming's boundary.

    Args:
        fraction: of the allowed looks, in (0, 1].
        alpha: of all looks.
    """
    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(fraction)))


def look_levels(share: float, sizes: Sequence[int], looks: int, alpha: float = ALPHA) -> list[float]:
    """Level of a rate's lower limit at each look, so that over all looks it exceeds a true ``share`` seldom enough.

    The error is spent by the number of the look, not of the images, so that a look may come at any number of these.

    Args:
        share: that the rate is compared with.
        sizes: number of independent images at each look so far, each with all images of the one before it.
        looks: number that is allowed.
        alpha: of all looks.
    """
    levels = []
    used = 0.0
    hits = np.ones(1)
    """Chance of each number of hits without having stopped before."""
    for look, (size, more) in enumerate(zip(sizes, np.diff([0, *sizes]), strict=True), start=1):
        hits = _with_more(hits, int(more), share)
        left = max(spent(look / looks, alpha) - used, 0.0)
        above = np.cumsum(hits[::-1])[::-1]
        stop = int(np.searchsorted(-above, -left))  # the least number of hits whose chance is at most what is left
        # A hair more, so that a rounding error does not move a boundary that lies on the level itself.
        levels.append((float(binom.sf(stop - 1, size, share)) if stop <= size else left) * (1 + 1e-9))
        used += float(above[stop]) if stop <= size else 0.0
        hits[stop:] = 0
    return levels


def _with_more(hits: Chances, images: int, share: float) -> Chances:
    """Chance of each number of hits after so many more images, each of which is one with the chance ``share``."""
    # By Fourier transform where there are many, which may leave a hair below 0.
    return np.maximum(convolve(hits, binom.pmf(np.arange(images + 1), images, share)), 0)


def exact_limits(share: float, size: float, level: float, upper_level: float | None = None) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share of ``size`` independent images; neither needs to be a whole number.

    Args:
        share: of images that are hits.
        size: number of independent images.
        level: largest chance of the lower limit to be above the truth.
        upper_level: the same of the upper limit to be below; None: as the lower one.
    """
    hits, misses = share * size, (1 - share) * size
    upper_level = level if upper_level is None else upper_level
    low = float(betaincinv(hits, misses + 1, level)) if hits > 1e-9 else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - upper_level)) if misses > 1e-9 else 1.0
    return low, high


def power(target: float, truth: float, planned: int, looks: int = 1, alpha: float = ALPHA) -> float:
    """Chance that at one of the looks, evenly spaced, the lower limit of a rate whose value is ``truth`` reaches
    ``target``."""
    sizes = look_sizes(planned, looks)
    levels = look_levels(target, sizes, looks, alpha)
    reached = 0.0
    hits = np.ones(1)
    for size, level, more in zip(sizes, levels, np.diff([0, *sizes]), strict=True):
        hits = _with_more(hits, int(more), truth)
        stop = _least_hits(target, size, level)
        reached += float(hits[stop:].sum())
        hits[stop:] = 0
    return reached


def look_sizes(planned: int, looks: int) -> list[int]:
    """Images at each look, of which the last one has all."""
    return [math.ceil(planned * look / looks) for look in range(1, looks + 1)]


def _least_hits(target: float, size: int, level: float) -> int:
    """Least number of hits whose lower limit reaches the target; ``size`` + 1 where none does."""
    return int(np.searchsorted(-binom.sf(np.arange(-1, size), size, target), -level))


def least_images(target: float, truth: float, wanted: float, looks: int = 1, alpha: float = ALPHA) -> int | None:
    """Least number of images from which on every number has at least the wanted power; None above MOST_IMAGES.

    Args:
        target: that the lower limit is to reach.
        truth: assumed true value, above the target.
        wanted: power.
        looks: number of looks.
        alpha: see :data:`ALPHA`.
    """
    z = ndtri(1 - alpha) * math.sqrt(target * (1 - target)) + ndtri(wanted) * math.sqrt(truth * (1 - truth))
    about = (z / (truth - target)) ** 2
    if about > MOST_IMAGES:
        return None
    # Power rises in saw-teeth, of which the lowest points lag behind by about two images over the difference.
    lag = math.ceil(3 / (truth - target))
    number = math.ceil(about) + lag
    while any(power(target, truth, more, looks, alpha) < wanted for more in (number, number + lag // 2, number + lag)):
        number += lag
    number += lag
    while number > 1 and power(target, truth, number - 1, looks, alpha) >= wanted:
        number -= 1
    return number
