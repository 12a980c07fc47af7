"""Encoded test images, good and bad."""

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import uid

from tests.support.dicoms import bare_dicom, dicom


def radiograph(height: int = 90, width: int = 120) -> npt.NDArray[np.uint8]:
    """A grey picture that JPEG keeps nearly unchanged: ``uint8`` height × width."""
    y, x = np.mgrid[0:height, 0:width]
    grain = np.random.default_rng(0).integers(-3, 4, (height, width))
    picture: npt.NDArray[np.float64] = np.clip(60 + x + 40 * np.sin(y / 20) + grain, 0, 255)
    return picture.astype(np.uint8)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def grey() -> Image.Image:
    """:func:`radiograph` in mode L."""
    return Image.fromarray(radiograph())


def deep(bits: int) -> npt.NDArray[np.uint16]:
    """:func:`radiograph` in the upper eight of so many bits, which 16 have room for."""
    return radiograph() * np.uint16(1 << (bits - 8))


def with_chunk(png: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk(name, content) + png[at:]


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_alpha(mode: str, opacity: int) -> Image.Image:
    """:func:`radiograph` in mode LA or RGBA, equally opaque everywhere."""
    image = grey().convert(mode)
    image.putalpha(opacity)
    return image


def turned() -> bytes:
    """:func:`radiograph` stored on its side, with the EXIF orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(grey().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


def glaring() -> bytes:
    """A picture that is nearly white: novel and inverted by the tests' model."""
    return encode(Image.fromarray(205 + radiograph(96, 96) // 5), "PNG")


def multi_picture() -> bytes:
    """A phone's JPEG of two pictures (MPO), the second one black."""
    return encode(grey(), "MPO", quality=98, save_all=True, append_images=[Image.new("L", (120, 90))])


def animated() -> bytes:
    """An animated PNG whose first frame is :func:`radiograph` and whose second is black."""
    black = Image.new("L", (120, 90))
    return encode(grey(), "PNG", save_all=True, append_images=[black])


def huge(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    data = encode(grey(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + count * scan + data[-2:]


GOOD: dict[str, bytes] = {
    "a grey PNG": encode(grey(), "PNG"),
    "a grey JPEG": encode(grey(), "JPEG", quality=98),
    "a progressive JPEG": encode(grey(), "JPEG", quality=98, progressive=True),
    "an RGB PNG": encode(grey().convert("RGB"), "PNG"),
    "an RGB JPEG": encode(grey().convert("RGB"), "JPEG", quality=98),
    "a CMYK JPEG": encode(grey().convert("RGB").convert("CMYK"), "JPEG", quality=98),
    "a palette PNG": encode(grey().convert("P"), "PNG"),
    "a 16-bit PNG": encode(Image.fromarray(deep(16)), "PNG"),
    "a 16-bit PNG of 14 bits": encode(Image.fromarray(deep(14)), "PNG"),
    "a 16-bit PNG that says it has 12 bits": with_chunk(encode(Image.fromarray(deep(12)), "PNG"), b"sBIT", b"\x0c"),
    "a 16-bit RGB PNG of 12 bits": bytes(imagecodecs.png_encode(np.stack(3 * [deep(12)], axis=-1))),
    "a phone's multi-picture JPEG": multi_picture(),
    "an opaque grey-alpha PNG": encode(with_alpha("LA", 255), "PNG"),
    "an opaque RGBA PNG": encode(with_alpha("RGBA", 255), "PNG"),
    "an EXIF-rotated PNG": turned(),
    "an animated PNG, of which the first frame counts": animated(),
    "a PNG with a broken EXIF block": encode(grey(), "PNG", exif=b"Exif\0\0broken"),
    "a DICOM image": dicom(radiograph().astype(np.uint16) * 16, bits=12, WindowCenter=2048, WindowWidth=4096),
    "an inverse DICOM image in lossless JPEG": dicom(
        255 - radiograph(),
        uid.JPEGLosslessSV1,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=128,
        WindowWidth=256,
    ),
    "a DICOM image without preamble": dicom(radiograph(), WindowCenter=128, WindowWidth=256)[132:],
    "a DICOM image without preamble and file meta information": bare_dicom(
        radiograph(), uid.ImplicitVRLittleEndian, WindowCenter=128, WindowWidth=256
    ),
    "a DICOM image stored upside down": dicom(
        radiograph()[::-1], PatientOrientation=["L", "H"], WindowCenter=128, WindowWidth=256
    ),
    "a DICOM image of pixels that are twice as high as wide": dicom(
        radiograph()[::2], PixelAspectRatio=[2, 1], WindowCenter=128, WindowWidth=256
    ),
}
"""Every one of them shows :func:`radiograph`."""

WARNED: dict[str, list[str]] = {
    "a 16-bit PNG of 14 bits": ["bit-depth"],
    "a 16-bit RGB PNG of 12 bits": ["bit-depth"],
    "a phone's multi-picture JPEG": ["several-images"],
    "an animated PNG, of which the first frame counts": ["several-images"],
    "a DICOM image stored upside down": ["dicom"],
}
"""Kinds of input warnings of those that have any."""

BAD: dict[str, tuple[bytes, str]] = {
    "an empty file is called empty": (b"", "empty-file"),
    "text is not an image": (b"a radiograph, honestly", "not-an-image"),
    "random bytes are not an image": (np.random.default_rng(0).bytes(5000), "not-an-image"),
    "a GIF is not an accepted format": (encode(grey(), "GIF"), "not-an-image"),
    "a TIFF is not an accepted format": (encode(grey(), "TIFF"), "not-an-image"),
    "an SVG is not an accepted format": (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>',
        "not-an-image",
    ),
    "half a PNG is damaged": (GOOD["a grey PNG"][:-200], "damaged-image"),
    "half a JPEG is damaged": (GOOD["a grey JPEG"][: len(GOOD["a grey JPEG"]) // 2], "damaged-image"),
    "a PNG with a flipped byte is damaged": (
        GOOD["a grey PNG"][:200] + bytes([GOOD["a grey PNG"][200] ^ 255]) + GOOD["a grey PNG"][201:],
        "damaged-image",
    ),
    "a PNG signature alone is damaged or no image": (b"\x89PNG\r\n\x1a\n", "not-an-image"),
    "a PNG of 100 megapixels has too many pixels": (huge(10_000, 10_000), "too-many-pixels"),
    "a PNG of 4 gigapixels has too many pixels": (huge(65_535, 65_535), "too-many-pixels"),
    "a JPEG of 40 scans keeps a decoder busy": (many_scans(40), "too-many-scans"),
    "a PNG of no height is no image": (huge(10, 0), "not-an-image"),
    "half a DICOM file is damaged": (GOOD["a DICOM image"][:9000], "damaged-image"),
    "a DICOM file without its first elements is no image": (GOOD["a DICOM image"][150:], "not-an-image"),
    "half a DICOM file without preamble is damaged": (GOOD["a DICOM image without preamble"][:9000], "damaged-image"),
    "a CT slice is no chest image": (dicom(radiograph(), Modality="CT"), "not-a-chest-image"),
    "an image of a hand is no chest image": (
        dicom(radiograph(), BodyPartExamined="HAND"),
        "not-a-chest-image",
    ),
    "a DICOM image in a palette's colours is not supported": (
        dicom(radiograph(), PhotometricInterpretation="PALETTE COLOR"),
        "unsupported-dicom",
    ),
    "a DICOM file of 4 gigapixels has too many pixels": (
        dicom(radiograph(), Rows=65_535, Columns=65_535),
        "too-many-pixels",
    ),
}
"""File and slug of the problem."""
