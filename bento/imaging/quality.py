"""Input checks: what can be told of an image without the model. They cost well under a millisecond and refuse nothing.

They look at a reduced copy, so that grain, JPEG's chroma noise and a small marker do not count.
"""

import numpy as np
from PIL import Image
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

SAMPLED, GROUP = 256, 4
"""Side of the copy that a check looks at: so many points of the image are taken, and means of groups of them."""
COLOUR = 8.0
"""Mean difference of the largest and the smallest of red, green and blue, in grey levels, that makes an image coloured.
Grey stored as colour is below 1, a saturated marker over a fiftieth of the image below 6, photographs are above 35."""
BLANK = 16.0
"""Least difference of the fifth and the ninety-fifth percentile, in grey levels. An image of a third of the usual
contrast has above 50."""
_GREY_MODES = frozenset({"1", "L", "LA", "I", "F"})


@dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True))
class InputWarning:
    """Something about the image that speaks against trusting an answer for it."""

    kind: str
    """`not-like-training`, `blank`, `colour`, `inverted`, `rotated`, `upside-down` or, later, others."""
    text: str
    """A sentence for people."""


IN_COLOUR = InputWarning(
    "colour", "The image is in colour, as no radiograph is: a photograph, or a tinted picture of an image."
)
NEARLY_BLANK = InputWarning("blank", "The image is blank or nearly so: there is nothing on it to be judged.")


def check_colour(image: Image.Image) -> tuple[InputWarning, ...]:
    """A warning where the image is in colour.

    Args:
        image: decoded, of any mode, before it is made grey; what is transparent counts as black.
    """
    if image.mode in _GREY_MODES or image.mode.startswith("I;16"):
        return ()
    small = image.resize((SAMPLED, SAMPLED), Image.Resampling.NEAREST)
    if small.has_transparency_data:
        small = small.convert("RGBA")
        black = Image.new("RGB", small.size)
        black.paste(small.convert("RGB"), mask=small.getchannel("A"))
        small = black
    if small.mode != "YCbCr":
        small = small.convert("RGB")
    small = small.reduce(GROUP).convert("RGB")
    # Channel by channel: NumPy's reduction over an axis of three takes three times as long.
    red, green, blue = (np.asarray(channel) for channel in small.split())
    most, least = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    chroma = float((most - least).mean())
    return (IN_COLOUR,) if chroma >= COLOUR else ()


def check_content(radiograph: Image.Image) -> tuple[InputWarning, ...]:
    """A warning where there is next to nothing on an image of mode ``L``."""
    small = radiograph.resize((SAMPLED, SAMPLED), Image.Resampling.NEAREST)
    levels = np.sort(np.asarray(small.reduce(GROUP)), axis=None)
    low, high = int(levels[len(levels) // 20]), int(levels[-1 - len(levels) // 20])
    return (NEARLY_BLANK,) if high - low < BLANK else ()
