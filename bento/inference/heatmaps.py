"""Heat maps: where on the image the model's evidence for each class lies.

A class activation map (Zhou et al. 2016) is an output of the same forward pass: the last layer's weights of a class,
applied at each place of the last feature map. Its mean is the class's score before calibration, less a constant. Detail
between its 7×7 cells comes from the finer activations where the frozen stages end, weighed by what they do to the score
on training images (:mod:`trainer.export.cam`); it changes no mean. Older models' maps are without it.

A map shows which region of the image (a cell of a map of 14×14 is 16 pixels of 224) raised or lowered a score. It
shows no lesion's outline, no cause, and not that the answer is right. It also lights up on what merely goes with a
class in the training images, such as a hospital's marker, and a score can rest on what is missing.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from bento.imaging.intake import Intake
from bento.inference.answer import ClassMap, Explanation

IMAGE_SIDE = 512
"""Longer side, at most, of the image that comes with the maps, in pixels."""
QUALITY = 92
"""Level of its JPEG, which takes a tenth of a PNG's time: nothing is measured on it."""
DIGITS = 4
"""Decimal places of a map's values."""


def explain(intake: Intake, cam: npt.NDArray[np.float32], classes: Sequence[str]) -> Explanation:
    """The heat maps of an answer, and the image that they belong on.

    Args:
        intake: the image as it went to the model.
        cam: C×h×w class activation maps of that image.
        classes: C names.
    """
    grids = np.round(cam.astype(np.float64), DIGITS).tolist()
    return Explanation(
        image=image_url(intake.radiograph),
        frame=intake.frame,
        maps=[ClassMap(label=label, values=grid) for label, grid in zip(classes, grids, strict=True)],
    )


def image_url(radiograph: Image.Image) -> str:
    """An image of mode ``L`` as the ``data:`` URL of a JPEG, at most ``IMAGE_SIDE`` pixels a side, without metadata."""
    small = Image.fromarray(np.asarray(radiograph))
    small.thumbnail((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
