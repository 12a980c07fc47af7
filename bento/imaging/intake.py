"""Image intake: from untrusted bytes to the ``uint8`` array the model takes. Training and serving share it.

What is served is by construction what was trained on: the trainer imports this module.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from PIL import Image, ImageOps, UnidentifiedImageError

from bento.imaging.crop_contrast import anatomy_box, equalise
from bento.imaging.dicom.signature import HEAD, first_element
from bento.imaging.errors import (
    DamagedImageError,
    EmptyImageError,
    TooManyPixelsError,
    TooManyScansError,
    UnknownFormatError,
)
from bento.imaging.greyscale import deep_to_grey, is_deep, to_grey
from bento.imaging.preprocessing import MAX_PIXELS, MAX_SCANS, Preprocessing
from bento.imaging.quality import InputWarning, check_colour, check_content

__all__ = [
    "DECODING", "FORMATS", "DecodedImage", "ImageFrame", "Intake", "fit", "is_dicom", "load_array", "open_image",
    "read_radiograph", "take_in",
]  # fmt: skip

_BY_PILLOW = ("JPEG", "PNG")
FORMATS = (*_BY_PILLOW, "DICOM")

DECODING = 2
"""Version of what :func:`read_radiograph` makes of a file; part of the key of caches of decoded images."""


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
class DecodedImage:
    """An image file's picture in grey, before it is brought to the model's size."""

    radiograph: Image.Image
    """Mode ``L``, upright; at a reduced scale where the decoder saw to it."""
    stored_format: str
    """One of :data:`FORMATS`."""
    warnings: tuple[InputWarning, ...]
    """What the file and its picture tell against trusting an answer; no sentence names anybody."""


@dataclass(frozen=True)
class Intake:
    """An image on its way to the model."""

    radiograph: Image.Image
    """As in :class:`DecodedImage`."""
    image: npt.NDArray[np.uint8]
    """The model's input, ``image_size`` × ``image_size``."""
    frame: ImageFrame
    warnings: tuple[InputWarning, ...] = ()
    """As in :class:`DecodedImage`."""


def open_image(data: bytes | bytearray | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open an image and check its format and size. JPEG and PNG are not decoded yet; DICOM is.

    Args:
        data: the file's bytes or its path.
        max_pixels: an image of more pixels is refused.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    if is_dicom(data):
        return _read_dicom(data, max_pixels).radiograph
    return _open_picture(data, max_pixels)


def read_radiograph(data: bytes | bytearray | Path, size: int, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode a file to 8-bit grey, upright, no smaller than needed for a model of ``size`` pixels.

    JPEG is decoded at a reduced scale where that loses nothing the model would see. Of 16-bit data the upper eight of
    the bits in use are kept; transparency lies on black; of several images in one file the first is taken.

    Args:
        data: the file's bytes or its path.
        size: side of the model's input in pixels.
        max_pixels: an image of more pixels is refused.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    decoded = _read_dicom(data, max_pixels) if is_dicom(data) else _read_picture(data, size, max_pixels)
    return replace(decoded, warnings=decoded.warnings + check_content(decoded.radiograph))


def is_dicom(data: bytes | bytearray | Path) -> bool:
    """Whether a file begins as DICOM does, with or without preamble."""
    if isinstance(data, Path):
        with data.open("rb") as stream:
            data = stream.read(HEAD)
    return first_element(data) is not None


def _read_dicom(data: bytes | bytearray | Path, max_pixels: int) -> DecodedImage:
    from bento.imaging.dicom.reader import read_dicom  # 0.3 s and 25 MB: for those alone who send DICOM

    radiograph, sentences = read_dicom(_content(data), max_pixels)
    return DecodedImage(radiograph, "DICOM", tuple(InputWarning("dicom", sentence) for sentence in sentences))


def _content(data: bytes | bytearray | Path) -> bytes | bytearray:
    return data.read_bytes() if isinstance(data, Path) else data


def _open_picture(data: bytes | bytearray | Path, max_pixels: int) -> Image.Image:
    """Open a JPEG or PNG file without decoding it."""
    if (data.stat().st_size if isinstance(data, Path) else len(data)) == 0:
        raise EmptyImageError("the file is empty")
    try:
        image = Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=_BY_PILLOW)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"the image has more than {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        accepted = ", ".join(FORMATS)
        raise UnknownFormatError(f"not an image in an accepted format ({accepted})") from error
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


def _scans(data: bytes | bytearray | Path) -> int:
    """Number of start-of-scan markers; within a scan's data such a pair of bytes can't occur."""
    return _content(data).count(b"\xff\xda")


def _read_picture(data: bytes | bytearray | Path, size: int, max_pixels: int) -> DecodedImage:
    """Decode a JPEG or PNG file."""
    with _open_picture(data, max_pixels) as image:
        try:
            deep = is_deep(image)
            image.draft(_stored_colours(image), (2 * size, 2 * size))  # a no-op but for JPEG
            image.load()
            if not deep:
                _turn_upright(image)
            coloured = check_colour(image)
            if deep:
                grey, warnings = deep_to_grey(image, _content(data))
                grey.info = {name: value for name, value in image.info.items() if "exif" in str(name)}
                _turn_upright(grey)
            else:
                grey, warnings = to_grey(image)
            stored_format = "PNG" if image.format == "PNG" else "JPEG"  # also where Pillow says MPO: JPEGs in one file
            return DecodedImage(grey, stored_format, (*_file_warnings(image), *warnings, *coloured))
        except Exception as error:
            # struct.error and plugin-specific types: whatever untrusted bytes provoke, it is the file's fault.
            raise DamagedImageError("the image is truncated or damaged") from error


def _file_warnings(image: Image.Image) -> Iterator[InputWarning]:
    """Warn of an animated PNG or a phone's multi-picture JPEG, and of pixels that are said not to be square."""
    if (count := getattr(image, "n_frames", 1)) > 1:
        yield InputWarning("several-images", f"The file holds {count} images; only the first one was read.")
    across, down = image.info.get("aspect") or image.info.get("jfif_density") or image.info.get("dpi") or (1, 1)
    if min(across, down) > 0 and abs(across / down - 1) > 0.01:
        yield InputWarning("pixel-shape", "The file says that its pixels are not square; they were taken for square.")


def _stored_colours(image: Image.Image) -> str:
    """The mode that a colour JPEG is stored in, by the rules of libjpeg. Decoded to that mode nothing is converted.

    The grey of such an image is the first channel of YCbCr, or what Pillow makes of RGB: bit for bit what libjpeg
    gives when it is asked for grey.
    """
    info = image.info
    if "jfif" in info:
        return "YCbCr"
    if "adobe" in info:
        return "YCbCr" if info.get("adobe_transform") else "RGB"
    # Private: Pillow's list of the components that the JPEG's frame header names.
    components = bytes(layer[0] for layer in getattr(image, "layer", ()))
    return "RGB" if components == b"RGB" else "YCbCr"


def _turn_upright(image: Image.Image) -> None:
    """Turn the image as its EXIF orientation says."""
    # A corrupt EXIF block is no reason to refuse the picture.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def fit(radiograph: Image.Image, spec: Preprocessing) -> Intake:
    """Crop, resize and equalise a grey image to the square that ``spec`` asks for; no warnings are given.

    Args:
        radiograph: mode ``L``, of any size.
        spec: how the model's input is made.
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
    """Bytes or file to model input in one step: :func:`read_radiograph`, then :func:`fit`.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    decoded = read_radiograph(data, spec.image_size, max_pixels=max_pixels)
    return replace(fit(decoded.radiograph, spec), warnings=decoded.warnings)


def load_array(
    data: bytes | bytearray | Path, spec: Preprocessing, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Bytes or file to the model's input alone, ``uint8`` S×S; see :func:`take_in`.

    Raises:
        ImageError: a subclass that says what is wrong.
    """
    return take_in(data, spec, max_pixels=max_pixels).image
