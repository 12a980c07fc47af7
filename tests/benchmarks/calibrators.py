"""Ways to recalibrate a score on a few images, side by side: each maps calibration images to a function of scores."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from bento.inference.odds import LEAST
from trainer.sites.recalibration import IDENTITY, OFFSET_SPREAD, SLOPE_SPREAD, fit_logit
from trainer.types import Floats

Booleans = npt.NDArray[np.bool_]
Calibrator = Callable[[Floats], Floats]
Method = Callable[[Floats, Booleans], Calibrator]


def identity(scores: Floats, positive: Booleans) -> Calibrator:
    """The score as it is."""
    return IDENTITY.probabilities


def platt(scores: Floats, positive: Booleans) -> Calibrator:
    """What ``calibrate`` does: slope and offset of the logit, with priors."""
    return fit_logit(scores, positive, np.ones(len(scores))).probabilities


def plain_platt(scores: Floats, positive: Booleans) -> Calibrator:
    """Platt's own (1999): slope and offset without priors, targets drawn in by Laplace's rule."""
    hits, misses = positive.sum(), (~positive).sum()
    y = np.where(positive, (hits + 1) / (hits + 2), 1 / (misses + 2))
    x = _log_odds(scores)

    def loss(at: Floats) -> float:
        z = at[0] * x + at[1]
        return float((np.logaddexp(0, z) - y * z).sum())

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B").x
    return lambda those: np.asarray(expit(slope * _log_odds(those) + offset))


def beta(scores: Floats, positive: Booleans) -> Calibrator:
    """Beta calibration (Kull et al. 2017), with the same priors: two slopes, of log(s) and of -log(1 - s)."""
    clipped = np.clip(scores, LEAST, 1 - LEAST)
    low, high, y = np.log(clipped), -np.log1p(-clipped), positive.astype(np.float64)

    def loss(at: Floats) -> float:
        z = np.exp(at[0]) * low + np.exp(at[1]) * high + at[2]
        prior = (at[:2] ** 2).sum() / (2 * SLOPE_SPREAD**2) + at[2] ** 2 / (2 * OFFSET_SPREAD**2)
        return float((np.logaddexp(0, z) - y * z).sum() + prior)

    first, second, offset = minimize(loss, np.zeros(3), method="L-BFGS-B").x

    def calibrated(those: Floats) -> Floats:
        those = np.clip(those, LEAST, 1 - LEAST)
        return np.asarray(expit(np.exp(first) * np.log(those) - np.exp(second) * np.log1p(-those) + offset))

    return calibrated


def venn_abers(scores: Floats, positive: Booleans) -> Calibrator:
    """Inductive Venn-Abers predictor (Vovk & Petej 2014), its two probabilities made one."""
    known = np.unique(scores)
    # The answer is the same everywhere between two calibration scores.
    places = np.concatenate([[known[0] - 1], (known[:-1] + known[1:]) / 2, [known[-1] + 1]])
    between, at = (np.array([_venn(scores, positive, place) for place in some]) for some in (places, known))

    def calibrated(those: Floats) -> Floats:
        place = np.searchsorted(known, those)
        same = known[np.minimum(place, len(known) - 1)] == those
        return np.asarray(np.where(same, at[np.minimum(place, len(known) - 1)], between[place]))

    return calibrated


def _venn(scores: Floats, positive: Booleans, place: float) -> float:
    sides = [
        IsotonicRegression().fit(np.append(scores, place), np.append(positive, side)).predict([place])[0]
        for side in (0, 1)
    ]
    return float(sides[1] / (1 - sides[0] + sides[1]))


def _log_odds(scores: Floats) -> Floats:
    clipped = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


METHODS: dict[str, Method] = {
    "as it is": identity,
    "Platt with priors": platt,
    "Platt": plain_platt,
    "beta with priors": beta,
    "Venn-Abers": venn_abers,
}
