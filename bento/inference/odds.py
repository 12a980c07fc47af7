"""The score that a threshold is compared with, and what a site's calibration makes of it."""

import math

import numpy as np
import numpy.typing as npt

from bento.artifact import Recalibration

Floats = npt.NDArray[np.floating]
LEAST = 1e-6
"""Scores nearer to 0 or 1 than this count as this near: their logits would be endless."""


def odds(probabilities: Floats, classes: list[str], label: str, reference: str | None) -> Floats:
    """Score of each image: ``p_label / (p_label + p_reference)``, or ``p_label`` without a reference.

    What other classes take of the probability does not lower it: on hospitals never seen, where tuberculosis may look
    partly like pneumonia, it ranks tuberculosis against normal better than the probability itself.

    Args:
        probabilities: N×C, in the order of ``classes``.
        classes: the model's C classes.
        label: one of them, a disease.
        reference: another one, the class without disease; None for operating points of artifact formats 1 to 4.

    Returns:
        N scores in [0, 1]; 0 where both classes have no probability at all.
    """
    disease = probabilities[:, classes.index(label)]
    if reference is None:
        return disease
    both = disease + probabilities[:, classes.index(reference)]
    return np.divide(disease, both, out=np.zeros_like(disease), where=both > 0)


def logit(score: float) -> float:
    """Natural logarithm of ``score / (1 - score)``, of a score at least :data:`LEAST` away from 0 and 1."""
    score = min(max(score, LEAST), 1 - LEAST)
    return math.log(score / (1 - score))


def probability_at_site(score: float, fit: Recalibration) -> float | None:
    """Probability of the disease for an image with this score, at the prevalence that the site states.

    The fit holds where the disease is as frequent as among the calibration images; its logit is shifted by the
    difference of the logits of the two shares (Saerens et al. 2002). It rises with the score, so that it orders images
    as the score does.

    Returns:
        None where no prevalence is stated.
    """
    if fit.prevalence is None:
        return None
    shift = logit(fit.prevalence) - logit(fit.sample_share)
    return 1 / (1 + math.exp(-(fit.slope * logit(score) + fit.offset + shift)))
