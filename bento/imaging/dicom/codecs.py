"""Decoders for compressed DICOM pixel data, none of which decodes more pixels than the header has announced.

pydicom's own decoders trust the compressed stream, so that a small file may ask for gigabytes. Pillow decodes JPEG of
8 bits and JPEG 2000; imagecodecs (libjpeg-turbo 3, CharLS) what Pillow can't: JPEG of 12 bits, lossless JPEG, JPEG-LS
and RLE.
"""

import io
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import uid
from pydicom.pixels.decoders import pillow
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from bento.imaging.preprocessing import MAX_SCANS

_STANDALONE = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers that no segment follows."""
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_PACKBITS_SLACK = 256
"""Bytes that a segment of RLE may have beyond its pixels: a byte that fills it up to an even length is no error."""


def jpeg_size(stream: bytes) -> tuple[int, int]:
    """Width and height in pixels that a JPEG or JPEG-LS stream announces.

    Raises:
        ValueError: it announces none.
        struct.error, IndexError: it is cut off before it does.
    """
    at = 2
    while True:
        if stream[at] != 0xFF:
            raise ValueError("not a JPEG marker")
        marker = stream[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", stream, at + 5)
            return width, height
        elif marker == _START_OF_SCAN:
            raise ValueError("no frame before the scan")
        else:
            at += 2 + int(struct.unpack_from(">H", stream, at + 2)[0])


def _check_size(size: tuple[int, int], runner: DecodeRunner) -> None:
    if size != (runner.columns, runner.rows):
        raise ValueError("the compressed stream has another size than the header")


def _check_jpeg(src: bytes, runner: DecodeRunner) -> None:
    _check_size(jpeg_size(src), runner)
    # Within a scan's data such a pair of bytes can't occur.
    if src.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("too many scans")


def _by_pillow(src: bytes, runner: DecodeRunner) -> bytes:
    if runner.transfer_syntax in (uid.JPEG2000, uid.JPEG2000Lossless):
        with Image.open(io.BytesIO(src), formats=("JPEG2000",)) as image:
            _check_size(image.size, runner)
    else:
        _check_jpeg(src, runner)
    # Private: pydicom's own plugin for Pillow; it brings JPEG 2000's precision and sign to the runner.
    return pillow._decode_frame(src, runner)


def _jpeg(src: bytes, runner: DecodeRunner) -> bytes:
    _check_jpeg(src, runner)
    # No conversion: the header says what the colours are.
    colours = "RGB" if runner.samples_per_pixel == 3 else None
    return _frame_bytes(imagecodecs.jpeg8_decode(src, colorspace=colours, outcolorspace=colours), runner)


def _extended(src: bytes, runner: DecodeRunner) -> bytes:
    return _by_pillow(src, runner) if runner.bits_stored == 8 else _jpeg(src, runner)


def _jpeg_ls(src: bytes, runner: DecodeRunner) -> bytes:
    _check_jpeg(src, runner)
    return _frame_bytes(imagecodecs.jpegls_decode(src), runner)


def _frame_bytes(pixels: npt.NDArray[np.uint8 | np.uint16], runner: DecodeRunner) -> bytes:
    """A frame's pixels as pydicom takes them, which is told how they lie."""
    if pixels.shape[:2] != (runner.rows, runner.columns):
        raise ValueError("the decoded image has another size than the header")
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def _rle(src: bytes, runner: DecodeRunner) -> bytes:
    """PS3.5 annex G: a header of 64 bytes, then each byte of the samples, the highest first, as a PackBits run."""
    count, *starts = struct.unpack_from("<16L", src)
    width = runner.bits_allocated // 8
    if count != runner.samples_per_pixel * width:
        raise ValueError("another number of segments than the header asks for")
    pixels = runner.rows * runner.columns
    planes = np.empty((runner.samples_per_pixel, pixels, width), np.uint8)
    room = bytearray(pixels + _PACKBITS_SLACK)
    for i, (start, end) in enumerate(zip(starts[:count], [*starts[1:count], len(src)], strict=True)):
        plane = imagecodecs.packbits_decode(src[start:end], out=room)
        if len(plane) < pixels:
            raise ValueError("a segment is too short")
        planes[i // width, :, width - 1 - i % width] = np.frombuffer(plane, np.uint8, pixels)
    runner.set_option("planar_configuration", 1)
    return planes.tobytes()


_DECODERS: dict[uid.UID, Callable[[bytes, DecodeRunner], bytes]] = {
    uid.JPEGBaseline8Bit: _by_pillow,
    uid.JPEGExtended12Bit: _extended,
    uid.JPEGLossless: _jpeg,
    uid.JPEGLosslessSV1: _jpeg,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _by_pillow,
    uid.JPEG2000: _by_pillow,
    uid.RLELossless: _rle,
}
NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
SUPPORTED = frozenset({*NATIVE, *_DECODERS})
"""Transfer syntaxes that can be read."""


def is_available(syntax: str) -> bool:
    """Whether :func:`decode_frame` knows the transfer syntax. pydicom asks this of every plugin."""
    return syntax in _DECODERS


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame's stream to its pixels' bytes. pydicom calls this of the plugin.

    Raises:
        Exception: whatever the codec makes of a stream that is damaged, cut off, or of another size than the header.
    """
    # Without their end mark, these are cut off: libjpeg and OpenJPEG would make up the rest.
    if runner.transfer_syntax != uid.RLELossless and not src.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ValueError("the compressed stream is cut off")
    return _DECODERS[runner.transfer_syntax](src, runner)


# For the whole process: what pydicom's own plugins would decode is decoded within bounds, or not at all.
for _syntax in _DECODERS:
    _decoder = get_decoder(_syntax)
    for _name in _decoder.available_plugins:
        _decoder.remove_plugin(_name)
    _decoder.add_plugin("bounded", (__name__, "decode_frame"))
