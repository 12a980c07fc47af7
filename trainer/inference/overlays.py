"""Class activation maps laid over images. What they can show and what not: see :mod:`bento.inference.heatmaps`."""

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

from bento.imaging.intake import ImageFrame

OPACITY = 0.55
"""Of the colour where the map is strongest."""
WHOLE = ImageFrame(0, 0, 1, 1)
"""A map that covers its picture."""


def overlay(radiograph: Image.Image, cam: npt.NDArray[np.float32], frame: ImageFrame = WHOLE) -> Image.Image:
    """An image tinted by one class's map: the brighter, the more a place speaks for the class.

    Args:
        radiograph: mode ``L``, W×H.
        cam: h×w, dividing ``frame`` evenly; values below 0 speak against the class and are left out.
        frame: where the map lies on the image.

    Returns:
        Mode ``RGB``, W×H.
    """
    heat = Image.fromarray((np.maximum(cam, 0) / max(float(cam.max()), 1e-9)).astype(np.float32))
    # The image's edges in the map's cells: beyond the map, there is no evidence.
    across, down = heat.width / (frame.right - frame.left), heat.height / (frame.bottom - frame.top)
    edges = (
        -frame.left * across,
        -frame.top * down,
        (1 - frame.left) * across,
        (1 - frame.top) * down,
    )
    fine = heat.transform(radiograph.size, Image.Transform.EXTENT, edges, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(fine), 0, 1)[:, :, None]
    colour = colormaps["inferno"](strength[:, :, 0])[:, :, :3]
    grey = np.asarray(radiograph, dtype=np.float64)[:, :, None] / 255
    mixed = grey * (1 - OPACITY * strength) + colour * OPACITY * strength
    return Image.fromarray((mixed * 255).astype(np.uint8))
