"""Properties of an image's picture that a change of scanner, of its settings or of the export moves."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from bento.imaging.intake import Intake

PROPERTIES = ("brightness", "contrast", "aspect", "detail")
"""Mean and standard deviation of the grey levels; width over height; mean difference of neighbouring pixels as the
model sees them, which noise and sharpening raise, and blur lowers."""
SAMPLED = 64
ROWS = 8


def input_properties(intake: Intake) -> npt.NDArray[np.float64]:
    """The four :data:`PROPERTIES` of an image, in their order, in about 0.05 ms.

    Kind of file and bit depth are none of them: a data folder holds DICOM files as 8-bit PNG, so that a reference would
    differ from what the service is sent by its making alone.
    """
    radiograph = intake.radiograph
    # Plain sums: NumPy's own mean and std take three times as long on so few numbers.
    grey = np.asarray(radiograph.resize((SAMPLED, SAMPLED), Image.Resampling.NEAREST)).ravel().astype(np.float64)
    brightness = grey.sum() / grey.size
    grey -= brightness
    rows = intake.image[ROWS // 2 :: ROWS].astype(np.int16)
    steps = rows[:, 1:] - rows[:, :-1]
    detail = np.abs(steps, out=steps).sum() / steps.size
    aspect = round(radiograph.width / radiograph.height, 3)
    return np.array([brightness, math.sqrt(grey.dot(grey) / grey.size), aspect, detail])
