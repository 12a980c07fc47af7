"""Class activation maps laid over images. What they can show and what not: see :mod:`bento.inference.heatmaps`."""

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image

from bento.imaging.intake import ImageFrame

STOPS = (
    (0.0, (87, 16, 110)),
    (0.25, (161, 42, 99)),
    (0.5, (225, 90, 49)),
    (0.75, (250, 163, 20)),
    (1.0, (252, 255, 164)),
)
"""Red, green and blue at positions from 0, the weakest evidence that is coloured, to 1, the strongest. The service's
page has the same table (``bento/page/palette.js``), so that a map looks the same wherever it is shown."""
FLOOR = 0.4
"""Share of the strongest evidence below which nothing is coloured."""
OPACITY = 0.6
"""Opacity of the strongest colour."""
WHOLE = ImageFrame(0, 0, 1, 1)
"""A map that covers its picture."""


def overlay(
    radiograph: Image.Image, cam: npt.NDArray[np.float32], frame: ImageFrame = WHOLE, strongest: float = 0
) -> Image.Image:
    """An image tinted by one class's map where there is much of the strongest evidence, brighter the more.

    Args:
        radiograph: mode ``L``, W×H.
        cam: h×w, dividing ``frame`` evenly; values below 0 speak against the class and are left out.
        frame: where the map lies on the image.
        strongest: evidence that gets the strongest colour; 0: the map's own largest value.

    Returns:
        Mode ``RGB``, W×H.
    """
    heat = Image.fromarray((np.maximum(cam, 0) / max(strongest or float(cam.max()), 1e-9)).astype(np.float32))
    across, down = radiograph.size
    left, right = (round(place * across) for place in (frame.left, frame.right))
    top, bottom = (round(place * down) for place in (frame.top, frame.bottom))
    fine = heat.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC)
    levels = Image.new("L", radiograph.size)  # beyond the map, there is no evidence
    levels.paste(Image.fromarray(np.clip(np.asarray(fine) * 255, 0, 255).astype(np.uint8)), (left, top))
    colours, opacity = colour_tables()
    picture, mask = radiograph.convert("RGB"), levels.point(opacity.tolist())
    if (box := mask.getbbox()) is not None:
        levels = levels.crop(box)
        tint = Image.merge("RGB", [levels.point(colours[:, channel].tolist()) for channel in range(3)])
        picture.paste(tint, box, mask.crop(box))
    return picture


@functools.cache
def colour_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """For each of 256 levels its colour (256×3) and how opaque it lies on the image, of 255."""
    position = np.clip((np.linspace(0, 1, 256) - FLOOR) / (1 - FLOOR), 0, 1)
    places = [place for place, _ in STOPS]
    channels = [[colour[channel] for _, colour in STOPS] for channel in range(3)]
    mixed = np.stack([np.interp(position, places, channel) for channel in channels], axis=1)
    opacity = OPACITY * np.minimum(2 * position, 1)
    return mixed.round().astype(np.uint8), (255 * opacity).round().astype(np.uint8)
