"""Input checks without the model: is the image in colour, is it blank? Each takes well under a millisecond.

They look at a reduced copy, so that grain, JPEG's chroma noise and a small marker do not count, and refuse nothing.
"""

import numpy as np
from PIL import Image
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

SAMPLED, GROUP = 256, 4
"""The copy that a check looks at has 256×256 of the image's pixels, and then the means of groups of 4×4 of these."""
COLOUR = 8.0
"""An image is coloured from this mean difference of the largest and the smallest of red, green and blue on, in grey
levels. Grey stored as colour is below 1, a saturated marker over a fiftieth of the image below 6, photographs are above
35."""
BLANK = 16.0
"""An image is blank below this difference of the fifth and the ninety-fifth percentile, in grey levels. An image of a
third of the usual contrast has above 50."""
_GREY_MODES = frozenset({"1", "L", "LA", "I", "F"})


@dataclass(frozen=True, config=ConfigDict(use_attribute_docstrings=True))
class InputWarning:
    """Something about the image that speaks against trusting an answer for it."""

    kind: str
    """`not-like-training`, `inverted`, `rotated` or `upside-down`, told by the model; `blank` or `colour`, told by the
    image; `bit-depth`, `transparent`, `several-images`, `pixel-shape` or `dicom`, told by the file; later others."""
    text: str
    """A sentence for people."""


IN_COLOUR = InputWarning(
    "colour", "The image is in colour, as no radiograph is: a photograph, or a tinted picture of a radiograph."
)
NEARLY_BLANK = InputWarning("blank", "The image is blank or nearly so: there is nothing on it to be judged.")


def check_colour(image: Image.Image) -> tuple[InputWarning, ...]:
    """Give a warning where the image is in colour.

    Args:
        image: decoded, of any mode, before it is converted to grey; what is transparent counts as black.
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
    """Give a warning where an image of mode ``L`` is blank or nearly so."""
    small = radiograph.resize((SAMPLED, SAMPLED), Image.Resampling.NEAREST)
    levels = np.sort(np.asarray(small.reduce(GROUP)), axis=None)
    low, high = int(levels[len(levels) // 20]), int(levels[-1 - len(levels) // 20])
    return (NEARLY_BLANK,) if high - low < BLANK else ()
