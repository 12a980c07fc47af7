"""Temperature scaling: one number, fitted on validation data, that makes probabilities mean what they say."""

import numpy as np

from trainer.types import Floats, Integers

PRIOR = 0.35
"""Standard deviation of the logarithm of the temperature, before any validation image is seen. Few images that are all
right would else make it as small as it can get, and the first error on a test image cost its whole logarithm. On 1,500
new radiographs judged by two models of 180, this loses less than 2 % of cross-entropy to the best choice for any number
of validation images from 6 to 500; without it, the mean cross-entropy doubles to quadruples for 6 to 12 images."""


def fit_temperature(logits: Floats, truth: Integers) -> float:
    """The likeliest divisor of the logits (Guo et al. 2017), within [0.05, 20].

    Its logarithm has a normal prior around 0 (:data:`PRIOR`), which weighs less the more images there are.

    Args:
        logits: N×C.
        truth: N class indices.
    """
    # Takes half a second; training should begin before that.
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(truth))
    logits = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[rows, truth].sum()) + (log_temperature / PRIOR) ** 2 / 2

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))
