"""Image intake: from untrusted bytes to the ``uint8`` array the model takes. Training and serving share it.

What is served is by construction what was trained on: the trainer imports this module.
"""

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from PIL import Image, ImageOps, UnidentifiedImageError

from bento.imaging.crop_contrast import anatomy_box, equalise
from bento.imaging.errors import (
    DamagedImageError,
    EmptyImageError,
    TooManyPixelsError,
    TooManyScansError,
    UnknownFormatError,
)
from bento.imaging.preprocessing import MAX_PIXELS, MAX_SCANS, Preprocessing
from bento.imaging.quality import InputWarning, check_colour, check_content

_BY_PILLOW = ("JPEG", "PNG")
FORMATS = (*_BY_PILLOW, "DICOM")

_DICOM_START, _DICOM_MARK = 128, b"DICM"
_DOUBTS = "doubts"


@pydantic.dataclasses.dataclass(frozen=True)
class ImageFrame:
    """Where the model's square lies on the image, as fractions of the image's width and height.

    Beyond [0, 1] where the square is padded; within it where borders were cut off.
    """

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Intake:
    """An image on its way to the model."""

    radiograph: Image.Image
    """Mode ``L``, upright; at a reduced scale where the decoder saw to it."""
    image: npt.NDArray[np.uint8]
    """The model's input, ``image_size`` × ``image_size``."""
    frame: ImageFrame
    warnings: tuple[InputWarning, ...] = ()
    """What is to be doubted about the file, in sentences that name nobody."""


def open_image(data: bytes | bytearray | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open without decoding, and check format and size. DICOM, told by its content, is decoded at once.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    if (data.stat().st_size if isinstance(data, Path) else len(data)) == 0:
        raise EmptyImageError("the file is empty")
    if is_dicom(data):
        return _open_dicom(data, max_pixels)
    try:
        image = Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=_BY_PILLOW)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"the image has more than {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise UnknownFormatError(f"not an image in an accepted format ({kinds})") from error
    except Exception as error:
        raise DamagedImageError("the image's header is damaged") from error
    if image.width * image.height > max_pixels:
        size = f"{image.width}×{image.height}"
        image.close()
        raise TooManyPixelsError(f"the image is {size}: more than {max_pixels:,} pixels")
    if "progressive" in image.info and _scans(data) > MAX_SCANS:
        image.close()
        raise TooManyScansError(f"the JPEG has more than {MAX_SCANS} scans")
    return image


def is_dicom(data: bytes | bytearray | Path) -> bool:
    """A DICOM file as PS3.10 has it. Without its preamble nothing tells it from garbage."""
    if isinstance(data, Path):
        with data.open("rb") as stream:
            data = stream.read(_DICOM_START + len(_DICOM_MARK))
    return data[_DICOM_START : _DICOM_START + len(_DICOM_MARK)] == _DICOM_MARK


def _open_dicom(data: bytes | bytearray | Path, max_pixels: int) -> Image.Image:
    from bento.imaging.dicom.reader import read_image  # 0.3 s and 25 MB: for those alone who send DICOM

    radiograph, doubts = read_image(data.read_bytes() if isinstance(data, Path) else data, max_pixels)
    radiograph.format = "DICOM"
    radiograph.info[_DOUBTS] = doubts
    return radiograph


def quality_warnings(image: Image.Image) -> tuple[str, ...]:
    """What an opened DICOM file's header leaves in doubt, in sentences that name nobody."""
    # Of the other formats anybody may have written that entry.
    return image.info[_DOUBTS] if image.format == "DICOM" else ()


def _scans(data: bytes | bytearray | Path) -> int:
    """Start-of-scan markers; within a scan's data such a pair of bytes can't occur."""
    return (data.read_bytes() if isinstance(data, Path) else data).count(b"\xff\xda")


def decode(image: Image.Image, size: int) -> Image.Image:
    """Decode to 8-bit grey (mode ``L``), upright, no smaller than needed for ``size`` pixels.

    JPEG is decoded at a reduced scale where that loses nothing the model would see. 16-bit data keep their
    full range's upper eight bits; transparency lies on black; of an animation the first frame is taken.

    Raises:
        DamagedImageError: truncated or corrupt content.
    """
    return _decode(image, size)[0]


def _decode(image: Image.Image, size: int) -> tuple[Image.Image, tuple[InputWarning, ...]]:
    """The grey image, and what is to be said of the colour that it had."""
    try:
        image.draft(_own_colours(image), (2 * size, 2 * size))  # a no-op but for JPEG
        image.load()
        _turn_upright(image)
        return _to_grey(image), check_colour(image)
    except Exception as error:
        # struct.error and plugin-specific types: whatever untrusted bytes provoke, it is the file's fault.
        raise DamagedImageError("the image is truncated or damaged") from error


def _own_colours(image: Image.Image) -> str:
    """The mode that a colour JPEG is stored in, by the rules of libjpeg, which converts nothing then.

    Its grey is the first channel of YCbCr, or what Pillow makes of RGB: the same bits as a decoder's own grey.
    """
    info = image.info
    if "jfif" in info:
        return "YCbCr"
    if "adobe" in info:
        return "YCbCr" if info.get("adobe_transform") else "RGB"
    components = bytes(layer[0] for layer in getattr(image, "layer", ()))
    return "RGB" if components == b"RGB" else "YCbCr"


def _turn_upright(image: Image.Image) -> None:
    # A corrupt EXIF block is no reason to refuse the picture.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        if image.mode not in ("LA", "RGBA"):
            image = image.convert("RGBA")
        black = Image.new("L", image.size, 0)
        black.paste(image.convert("L"), mask=image.getchannel("A"))
        return black
    return image.convert("L")


def fit(radiograph: Image.Image, spec: Preprocessing) -> Intake:
    """Bring a grey image into the square of ``spec``.

    Args:
        radiograph: mode ``L``, of any size.
    """
    size = spec.image_size
    box = anatomy_box(radiograph) if spec.crop == "anatomy" else (0, 0, *radiograph.size)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.asarray(radiograph.resize(inner, Image.Resampling.BILINEAR, box=box))
    if spec.contrast == "clahe":
        pixels = equalise(pixels)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    image = np.zeros((size, size), np.uint8)
    image[top : top + inner[1], left : left + inner[0]] = pixels
    across, down = width / inner[0] / radiograph.width, height / inner[1] / radiograph.height
    first = (box[0] / radiograph.width - left * across, box[1] / radiograph.height - top * down)
    return Intake(radiograph, image, ImageFrame(*first, first[0] + size * across, first[1] + size * down))


def take_in(data: bytes | bytearray | Path, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS) -> Intake:
    """Bytes or file to model input in one step; see :func:`open_image`, :func:`decode`, :func:`fit`.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    with open_image(data, max_pixels=max_pixels) as image:
        radiograph, warnings = _decode(image, spec.image_size)
        doubts = tuple(InputWarning("dicom", text) for text in quality_warnings(image))
    return replace(fit(radiograph, spec), warnings=doubts + warnings + check_content(radiograph))


def load_array(
    data: bytes | bytearray | Path, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """The model's input alone; see :func:`take_in`.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    return take_in(data, spec, max_pixels=max_pixels).image
