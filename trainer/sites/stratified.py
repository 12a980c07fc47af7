"""Rates of a site's images that were drawn by stratum: each counts for the images of the folder that it stands for.

Images near the threshold are drawn more often than others, so that a share of the drawn ones is not that of the site.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from bento.artifact import Interval
from trainer.data.listing import Radiograph
from trainer.errors import UserError
from trainer.evaluation.shares import TAIL, effective_size, share_limits
from trainer.sites.thresholds import Standing
from trainer.types import Floats

Bits = npt.NDArray[np.bool_]
WEIGHT, STRATUM = "weight", "stratum"
"""Columns of a selection: how many images of the folder an image stands for, and which were drawn with it."""
NORMAL_QUANTILE = 1.959964
"""Of 1 - TAIL."""


@dataclass(frozen=True)
class Rate:
    """A share of images, with what its interval is made from."""

    value: float
    size: float
    """Number of independent images that would tell it as well."""
    images: int
    """Images that it is a share of."""

    def limits(self, tail: float = TAIL) -> tuple[float, float]:
        """See :func:`trainer.evaluation.shares.share_limits`."""
        return share_limits(self.value, self.size, tail)


@dataclass(frozen=True)
class Sample:
    """N labelled images, and how they were drawn from the site's."""

    patients: Sequence[str]
    """N names; where images were drawn by stratum, one image of each is expected."""
    strata: npt.NDArray[np.integer] | None = None
    """N numbers; None: every image was taken, or they were drawn without regard to the score."""
    weights: npt.NDArray[np.floating] | None = None
    """N numbers of images of the folder that each stands for."""

    def rate(self, hits: Bits, counted: Bits) -> Rate:
        """Share of images that are hits, of those that are counted.

        Args:
            hits: which of the N images are hits.
            counted: which of the N images count, at least one.
        """
        if self.strata is None or self.weights is None:
            kept = [patient for patient, one in zip(self.patients, counted, strict=True) if one]
            value, size = float(hits[counted].mean()), effective_size(hits[counted], kept)
            return Rate(value, size, int(counted.sum()))
        return stratified_rate(hits, counted, self.strata, self.weights)

    def standing(self, hits: Bits, counted: Bits) -> Standing:
        """How much weighed images tell of a threshold that is just below the lowest score of a hit, with caution.

        One more is taken to be missed, whose weight is that of the folder's images below the threshold in the mean: the
        disease may be there without any such image having been drawn (as Fay & Feuer 1997 do for weighted sums of
        Poisson numbers, with the largest weight). With equal weights this is the exact binomial bound.

        Args:
            hits: which of the N images reach the threshold.
            counted: which of the N images have the disease, at least one.
        """
        rate = self.rate(hits, counted)
        missed, one = 1 - rate.value, 1 / rate.size
        if self.weights is not None and not hits.all():
            below = self.weights[~hits]
            one = max(one, float((below**2).sum() / below.sum() / self.weights[counted].sum()))
        variance = missed / rate.size + one**2
        patients = (missed + one) / variance
        return Standing(patients, min(patients, patients * (missed + one)))


def stratified_rate(
    hits: Bits, counted: Bits, strata: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
) -> Rate:
    """Share of the site's images that are hits, of those that are counted: a ratio of two stratified totals.

    Its variance is that of the linearised ratio under double sampling for stratification (Cochran 1977, 12.4), since
    the folder is itself a draw of the site's images. The size is the one that gives as many independent images this
    variance, with Korn & Graubard's (1998) correction for few degrees of freedom, and never above the number N of
    drawn images; where no drawn image is a miss, or none is a hit, it is Kish's effective size.

    Args:
        hits: which of the N images are hits.
        counted: which of the N images count, at least one.
        strata: number of each image's stratum.
        weights: how many images of the folder each one stands for.
    """
    total = float(weights[counted].sum())
    value = float(weights[counted & hits].sum()) / total
    number = int(counted.sum())
    if value in (0, 1):
        return Rate(value, kish_size(weights[counted]), number)
    variance = _variance(counted * (hits - value), strata, weights)
    known = (NORMAL_QUANTILE / float(stdtrit(max(number - 1, 1), 1 - TAIL))) ** 2
    size = value * (1 - value) * total**2 / variance * known
    return Rate(value, float(np.clip(size, 1, len(hits))), number)


def stratified_mean(values: Floats, strata: npt.NDArray[np.integer], weights: Floats) -> Interval:
    """Mean of N values over the site's images, with a 95 % interval by Student's t and the variance of
    :func:`stratified_rate`.

    Args:
        values: of the N drawn images.
        strata: number of each image's stratum.
        weights: how many images of the folder each one stands for.
    """
    mean = float(np.average(values, weights=weights))
    error = math.sqrt(_variance(values - mean, strata, weights)) / float(weights.sum())
    half = float(stdtrit(max(len(values) - len(np.unique(strata)), 1), 1 - TAIL)) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


def _variance(errors: Floats, strata: npt.NDArray[np.integer], weights: Floats) -> float:
    """Of the weighed total of N values whose weighed mean is 0, under double sampling for stratification."""
    variance = 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        images, of_folder = int(inside.sum()), float(weights[inside].sum())
        within = float(errors[inside].var(ddof=1)) if images > 1 else 0.0
        variance += of_folder**2 * within / images + of_folder * float(errors[inside].mean()) ** 2
    return variance


def kish_size(weights: Floats) -> float:
    """Number of images of equal weight that N weighed ones are worth (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def drawn_sample(radiographs: Sequence[Radiograph], stratum_images: dict[str, float]) -> Sample:
    """How labelled images were drawn, by the columns ``stratum`` and ``weight`` of their table.

    Args:
        radiographs: N images, all labelled and readable.
        stratum_images: images of the folder that each stratum has; see :func:`images_by_stratum`. Empty: the images
            were not drawn by stratum.

    Raises:
        UserError: a stratum has no image among them, so that nobody knows what a part of the folder is like.
    """
    patients = [radiograph.person for radiograph in radiographs]
    if not stratum_images:
        return Sample(patients)
    names = np.array([radiograph.columns[STRATUM] for radiograph in radiographs])
    if missing := sorted(stratum_images.keys() - set(names.tolist())):
        raise UserError(
            f"stratum {missing[0]}: none of its images has a label and can be judged, so that nothing is known of "
            f"{stratum_images[missing[0]]:,.0f} images that it stands for; label one"
        )
    strata = np.unique(names, return_inverse=True)[1]
    drawn = {name: int((names == name).sum()) for name in stratum_images}
    return Sample(patients, strata, np.array([stratum_images[name] / drawn[name] for name in names.tolist()]))


def images_by_stratum(rows: Sequence[tuple[str, str, str]]) -> dict[str, float]:
    """Images of the folder that each stratum has: the sum of the weights of all its drawn images, labelled or not.

    Args:
        rows: where each row stands, as errors name it; its stratum and its weight.

    Returns:
        Empty where no row has a stratum.

    Raises:
        UserError: a row without a stratum among others, or a weight that is no number above 0.
    """
    if not any(stratum for _, stratum, _ in rows):
        return {}
    images: dict[str, float] = defaultdict(float)
    for where, stratum, weight in rows:
        try:
            value = float(weight)
        except ValueError:
            value = 0.0
        if not stratum or not 0 < value < float("inf"):
            raise UserError(
                f"{where}: stratum {stratum!r}, weight {weight!r}: each image needs a stratum and a weight above 0"
            )
        images[stratum] += value
    return dict(images)
