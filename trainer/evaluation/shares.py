"""Shares of images with 95 % intervals that are right for few patients, and where a share is 0 or 1.

A bootstrap of patients has nothing to resample where no image is wrong: of six images it would say "1.000 (1.000 to
1.000)". The interval here is that of Clopper and Pearson (1934) with mid-P (Lancaster 1961), for as many independent
images as the patients' images are worth (Korn & Graubard 1998).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, stdtrit

from bento.artifact import Interval

TAIL = 0.025


def share_interval(
    hits: npt.NDArray[np.bool_], patients: Sequence[str], counted: npt.NDArray[np.bool_] | None = None
) -> Interval:
    """Share of images that are hits, of those that are counted, with its interval.

    Args:
        hits: which of N images are hits.
        patients: of the N images.
        counted: which of the N images count, at least one; None: all.
    """
    counted = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    share = float(hits[counted].mean())
    size = effective_size(hits[counted], [patient for patient, kept in zip(patients, counted, strict=True) if kept])
    low, high = share_limits(share, size)
    return Interval(value=share, low=low, high=high)


def never_certain(interval: Interval, low: float, high: float) -> Interval:
    """The interval, or with these limits where it has no width: no number of images makes a metric certain."""
    if interval.low < interval.high:
        return interval
    return Interval(value=interval.value, low=min(low, interval.value), high=max(high, interval.value))


def rarer_patients(positive: npt.NDArray[np.bool_], patients: Sequence[str]) -> int:
    """Number of patients with positive images or with others, whichever is less.

    As many independent pairs of images tell how sure a perfect ranking is.
    """
    sides: tuple[set[str], set[str]] = set(), set()
    for patient, side in zip(patients, positive.tolist(), strict=True):
        sides[side].add(patient)
    return max(1, min(map(len, sides)))


def effective_size(hits: npt.NDArray[np.bool_], patients: Sequence[str]) -> float:
    """Number of independent images that would tell the share of hits as well as these N images of patients do.

    N divided by the design effect: the variance between patients over that between as many independent images; the
    number of patients where all images are alike.
    """
    images, share = len(hits), float(hits.mean())
    names, owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    if len(names) == images or share in (0, 1) or len(names) == 1:
        return float(len(names))
    between = (np.bincount(owner, weights=hits - share) ** 2).sum() * len(names) / (len(names) - 1) / images**2
    independent = share * (1 - share) / (images - 1)
    # The variance between few patients is not well known.
    known = (stdtrit(images - 1, 1 - TAIL) / stdtrit(len(names) - 1, 1 - TAIL)) ** 2
    return float(np.clip(images * independent / between * known, 1, images))


def share_limits(share: float, size: float, tail: float = TAIL) -> tuple[float, float]:
    """The interval of a share of ``size`` independent images; neither needs to be a whole number.

    ``tail`` is the chance that the truth is below the interval, and that it is above: 95 % lie inside by default.
    """
    hits = share * size

    def above(p: float) -> float:
        """Chance of more hits, and half of that of as many, where the true share is ``p``."""
        more = betainc(hits + 1, size - hits, p) if size - hits > 1e-9 else 0.0
        as_many_or_more = betainc(hits, size - hits + 1, p) if hits > 1e-9 else 1.0
        return float(more + as_many_or_more) / 2

    low = float(brentq(lambda p: above(p) - tail, 0, 1)) if hits > 1e-9 else 0.0
    high = float(brentq(lambda p: above(p) - (1 - tail), 0, 1)) if size - hits > 1e-9 else 1.0
    return low, high


def size_to_tell(share: float, target: float) -> int | None:
    """Least number of independent images whose interval, at that share, leaves ``target`` out; None: no number does."""
    if abs(share - target) < 1e-3:
        return None
    size = 1
    while not _leaves_out(share, size, target):
        size *= 2
    low = size // 2
    while size - low > 1:
        middle = (low + size) // 2
        low, size = (low, middle) if _leaves_out(share, middle, target) else (middle, size)
    return size


def _leaves_out(share: float, size: int, target: float) -> bool:
    low, high = share_limits(share, size)
    return not low < target < high


def size_of(interval: Interval) -> float:
    """Number of independent images that gives a share this interval."""
    width = interval.high - interval.low

    def wider(log_size: float) -> float:
        low, high = share_limits(interval.value, math.exp(log_size))
        return high - low - width

    return math.exp(float(brentq(wider, 0, math.log(1e9)))) if wider(0) > 0 else 1.0
