"""Ways to recalibrate a score on a few images, side by side: each maps calibration images to a function of scores."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import isotonic_regression

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
    design = np.stack([_log_odds(scores), np.ones(len(scores))])

    def loss(at: Floats) -> tuple[float, Floats]:
        z = at @ design
        return float((np.logaddexp(0, z) - y * z).sum()), design @ (expit(z) - y)

    slope, offset = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return lambda those: np.asarray(expit(slope * _log_odds(those) + offset))


def beta(scores: Floats, positive: Booleans) -> Calibrator:
    """Beta calibration (Kull et al. 2017), with the same priors: two slopes, of log(s) and of -log(1 - s)."""
    y, spreads = positive.astype(np.float64), np.array([SLOPE_SPREAD, SLOPE_SPREAD, OFFSET_SPREAD])

    def logit_of(at: Floats, those: Floats) -> tuple[Floats, Floats]:
        clipped = np.clip(those, LEAST, 1 - LEAST)
        design = np.stack([
            np.exp(at[0]) * np.log(clipped), -np.exp(at[1]) * np.log1p(-clipped), np.full(len(those), at[2])
        ])  # fmt: skip
        return design.sum(axis=0), np.stack([design[0], design[1], np.ones(len(those))])

    def loss(at: Floats) -> tuple[float, Floats]:
        z, slopes = logit_of(at, scores)
        value = (np.logaddexp(0, z) - y * z).sum() + (at**2 / (2 * spreads**2)).sum()
        return float(value), slopes @ (expit(z) - y) + at / spreads**2

    best = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B").x
    return lambda those: np.asarray(expit(logit_of(best, those)[0]))


def venn_abers(scores: Floats, positive: Booleans) -> Calibrator:
    """Inductive Venn-Abers predictor (Vovk & Petej 2014), its two probabilities made one; scores must be distinct."""
    order = np.argsort(scores)
    known, labels = scores[order], positive[order].astype(np.float64)
    # The answer is the same everywhere between two calibration scores.
    sides = np.array([
        [isotonic_regression(np.insert(labels, place, side))[place] for side in (0.0, 1.0)]
        for place in range(len(known) + 1)
    ])  # fmt: skip
    merged = sides[:, 1] / (1 - sides[:, 0] + sides[:, 1])
    return lambda those: np.asarray(merged[np.searchsorted(known, those)])


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
