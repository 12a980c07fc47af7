"""Convert a decoded JPEG or PNG to 8-bit grey, and warn where that takes a guess or loses something.

A PNG of 16 bits a sample need not use them all: detectors deliver 10 to 14. The upper eight of the bits in use become
the grey; how many are in use the ``sBIT`` chunk says (PNG specification 11.3.2.3), or else the largest sample.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from bento.imaging.quality import InputWarning

TRANSPARENT = InputWarning("transparent", "Parts of the image are transparent; they were taken for black.")
FEW_LEVELS = InputWarning(
    "bit-depth", "The PNG has 16 bits a sample and does not use the highest; of so large an image few greys are left."
)
MAX_DEEP_PIXELS = 8_000_000
"""Most pixels of an image of several channels of 16 bits that is read with all its bits, at 15 bytes a pixel."""
_HALF = 128
"""A largest sample of eight bits that is at least this uses the highest bit."""
_ROWS = 256
"""Rows that are converted to luminance at once, since 32 bits for each sample of an image would take much memory."""
Deep = npt.NDArray[np.uint16]


def is_deep(image: Image.Image) -> bool:
    """Whether an opened PNG, not decoded yet, has 16 bits a sample."""
    # Private: Pillow's name of the pixels' layout, the last field of a tile.
    return image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in getattr(image, "tile", ()))


def to_grey(image: Image.Image) -> tuple[Image.Image, tuple[InputWarning, ...]]:
    """The image in mode ``L``, on black where it is transparent.

    Args:
        image: decoded, of any mode of 8 bits a sample.
    """
    if not image.has_transparency_data:
        return (image if image.mode == "L" else image.convert("L")), ()
    if image.mode not in ("LA", "RGBA"):
        image = image.convert("RGBA")
    return _on_black(image.convert("L"), image.getchannel("A"))


def deep_to_grey(image: Image.Image, data: bytes | bytearray) -> tuple[Image.Image, tuple[InputWarning, ...]]:
    """The image of a PNG of 16 bits a sample in mode ``L``, on black where it is transparent.

    Args:
        image: decoded by Pillow: mode ``I;16``, or 8 bits a sample where the PNG has several channels; may be closed.
        data: the file.
    """
    opacity = None
    if image.mode == "I;16":
        levels = np.asarray(image)
        if "transparency" in image.info:
            visible = levels != image.info["transparency"]
            opacity = Image.fromarray(visible * np.uint8(255))
    elif np.max(image.getextrema()[:3]) >= _HALF:
        return to_grey(image)  # all bits are in use: Pillow has kept the upper eight
    elif image.width * image.height > MAX_DEEP_PIXELS:
        grey, warnings = to_grey(image)
        return grey, (FEW_LEVELS, *warnings)
    else:
        import imagecodecs  # for those alone who send such files: Pillow gives no 16 bits of several channels

        image.close()  # both would take much memory
        samples = imagecodecs.png_decode(data)
        levels = samples[..., 0] if samples.shape[-1] < 3 else _luminance(samples)
        if samples.shape[-1] in (2, 4):
            opacity = Image.fromarray(np.ascontiguousarray(samples.astype("<u2", copy=False).view(np.uint8)[..., -1]))
    bits, warnings = _bits_in_use(int(levels.max()), data)
    grey = Image.fromarray((levels >> (bits - 8)).astype(np.uint8))
    if opacity is not None:
        grey, transparent = _on_black(grey, opacity)
        warnings += transparent
    return grey, warnings


def _on_black(grey: Image.Image, opacity: Image.Image) -> tuple[Image.Image, tuple[InputWarning, ...]]:
    black = Image.new("L", grey.size, 0)
    black.paste(grey, mask=opacity)
    return black, () if opacity.getextrema() == (255, 255) else (TRANSPARENT,)


def _luminance(samples: Deep) -> Deep:
    """Grey of H×W×3 or H×W×4 samples by ITU-R 601-2, as Pillow computes it for 8 bits."""
    levels = np.empty(samples.shape[:2], np.uint16)
    for start in range(0, len(levels), _ROWS):
        rows = samples[start : start + _ROWS].astype(np.uint32)
        levels[start : start + _ROWS] = (299 * rows[..., 0] + 587 * rows[..., 1] + 114 * rows[..., 2] + 500) // 1000
    return levels


def _bits_in_use(largest: int, data: bytes | bytearray) -> tuple[int, tuple[InputWarning, ...]]:
    """How many of the 16 bits hold the image, 8 to 16, and a warning where that is a guess."""
    stated = _significant_bits(data)
    if stated is not None:
        # Samples should be scaled up to all 16 bits, and often are not.
        return (max(8, stated) if largest < 1 << stated else 16), ()
    bits = max(8, largest.bit_length())
    if bits == 16 or largest == 0:
        return 16, ()
    sentence = f"The PNG has room for 16 bits a sample and seems to use {bits}; these were taken for its whole range."
    return bits, (InputWarning("bit-depth", sentence),)


def _significant_bits(data: bytes | bytearray) -> int | None:
    """What a PNG's ``sBIT`` chunk says of its grey or of its colours; None without one that makes sense."""
    at = 8
    while (name := data[at + 4 : at + 8]) not in (b"IDAT", b""):
        length = int.from_bytes(data[at : at + 4])
        if name == b"sBIT" and length:
            bits = max(data[at + 8 : at + 8 + (3 if length > 2 else 1)], default=0)
            return bits if 0 < bits <= 16 else None
        at += 12 + length
    return None
