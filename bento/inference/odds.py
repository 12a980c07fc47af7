"""The score that an operating point's threshold is compared with."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


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
