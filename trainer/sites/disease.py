"""The one disease, with its threshold, that a command for a site is about."""

from bento.artifact import Manifest, Threshold
from trainer.errors import UserError
from trainer.evaluation.operating_points import TUBERCULOSIS


def threshold_of(manifest: Manifest, disease: str | None) -> Threshold:
    """What a disease is flagged by; None: of the only one that has a threshold, or of tuberculosis.

    Raises:
        UserError: the model has no threshold for it, or for several and not for tuberculosis.
    """
    points = {point.label: point for point in manifest.thresholds}
    named = ", ".join(points) or "none"
    if disease is None:
        if len(points) == 1:
            return next(iter(points.values()))
        if TUBERCULOSIS in points:
            return points[TUBERCULOSIS]
        raise UserError(f"--disease: which one? The model's diseases with a threshold: {named}")
    if disease not in points:
        why = manifest.never_flagged.get(disease)
        raise UserError(
            f"--disease {disease}: the model has no threshold for it{f' ({why})' if why else ''}; it has: {named}"
        )
    return points[disease]
