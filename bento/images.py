"""Image intake: from untrusted bytes to the ``uint8`` array the model takes. Training and serving share it.

What is served is by construction what was trained on: the trainer imports this module.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 50_000_000
"""More than any detector delivers (a 43 cm square at 0.1 mm is 18.5 million); decoding costs about a byte each."""


class ImageError(ValueError):
    """The bytes can't be used as an image. ``slug`` is a stable, machine-readable name of the reason."""

    slug = "unreadable-image"


class EmptyImageError(ImageError):
    """No bytes at all."""

    slug = "empty-file"


class UnknownFormatError(ImageError):
    """Not one of the accepted formats."""

    slug = "not-an-image"


class TooManyPixelsError(ImageError):
    """The header announces more pixels than the cap; nothing was decoded."""

    slug = "too-many-pixels"


class DamagedImageError(ImageError):
    """The header is fine, the content is truncated or corrupt."""

    slug = "damaged-image"


class Preprocessing(BaseModel):
    """How an image becomes the model's input; part of the artifact's manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_size: int = Field(ge=32, le=2048)
    """Side of the square input in pixels."""
    fit: str = Field(default="pad", pattern="^pad$")
    """``pad``: the whole film is kept with its aspect ratio, the rest is black."""


def open_image(data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open without decoding, and check format and size.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    if isinstance(data, bytes) and not data or isinstance(data, Path) and data.stat().st_size == 0:
        raise EmptyImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            # Our own cap, checked below, replaces Pillow's bomb warning; its error, at twice that, stays.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(f"the image has more than {max_pixels:,} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise UnknownFormatError(f"not an image in an accepted format ({', '.join(FORMATS)})") from error
    except Exception as error:
        raise DamagedImageError("the image's header is damaged") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width}×{image.height}"
        image.close()
        raise TooManyPixelsError(f"the image is {size}: more than {max_pixels:,} pixels")
    return image


def decode(image: Image.Image, size: int) -> Image.Image:
    """Decode to 8-bit grey (mode ``L``), upright, no smaller than needed for ``size`` pixels.

    JPEG is decoded at a reduced scale where that loses nothing the model would see. 16-bit data keep their
    full range's upper eight bits; transparency lies on black; of an animation the first frame is taken.

    Raises:
        DamagedImageError: truncated or corrupt content.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. a corrupt EXIF block: not a reason to refuse the picture
            image.draft("L", (2 * size, 2 * size))  # a no-op but for JPEG
            image.load()
            image = ImageOps.exif_transpose(image)
            return _to_grey(image)
    except Exception as error:
        # struct.error and plugin-specific types: whatever untrusted bytes provoke, it is the file's fault.
        raise DamagedImageError("the image is truncated or damaged") from error


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray((wide >> 8).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("L")
    return image.convert("L")


def to_array(image: Image.Image, spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """Fit a grey image into the square of ``spec``: ``uint8``, ``image_size`` × ``image_size``."""
    size = (spec.image_size, spec.image_size)
    fitted = ImageOps.pad(image, size, method=Image.Resampling.BILINEAR, color=0)
    return np.asarray(fitted, dtype=np.uint8)


def load_array(
    data: bytes | Path, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Bytes or file to model input in one step; see :func:`open_image`, :func:`decode`, :func:`to_array`.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    with open_image(data, max_pixels=max_pixels) as image:
        return to_array(decode(image, spec.image_size), spec)
