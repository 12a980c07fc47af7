"""How an image becomes the model's input, as an artifact's manifest says it; and the limits of what is decoded."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_PIXELS = 25_000_000
"""Most pixels of an image. A detector delivers fewer (a 43 cm square at 0.1 mm is 18.5 million), and decoding a
colour PNG takes 7 bytes for each."""
MAX_SCANS = 32
"""Most scans of a progressive JPEG; encoders write about ten."""


class ManifestPart(BaseModel):
    """Base of every part of an artifact's manifest: immutable, and a field that it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Preprocessing(ManifestPart):
    """How an image becomes the model's input."""

    image_size: int = Field(ge=32, le=2048)
    """Side of the square input in pixels."""
    fit: str = Field(default="pad", pattern="^pad$")
    """``pad``: the whole image is kept with its aspect ratio, the rest is black."""
    # What artifacts of format 1 and 2, which do not name these two, were trained with.
    crop: Literal["none", "anatomy"] = "none"
    """``anatomy``: uniform and dark borders of the image are cut off first."""
    contrast: Literal["none", "clahe"] = "none"
    """``clahe``: contrast-limited adaptive histogram equalisation of what is left, at the model's size."""
