"""Read a DICOM file's elements that describe its picture, and the picture, within limits that no image comes near.

Elements that name a person are skipped over. pydicom's warnings and log lines, which quote values, are silenced.
"""

import io
import logging
import struct
import warnings

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bento.imaging.dicom.codecs import SUPPORTED
from bento.imaging.dicom.signature import first_element, is_explicit
from bento.imaging.errors import DamagedImageError, UnsupportedDicomError

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom\.")

ELEMENT, UNDEFINED = 8, 0xFFFFFFFF
"""Bytes that an element begins with; and the length that means: until a delimiter."""
MAX_HEADER = 1_000_000
"""Bytes of a header that are read."""
MAX_VALUE = 150_000
"""Bytes of one value: a lookup table of 65,536 entries fits."""
MAX_WORD = 4_096
"""Bytes of one value that is no lookup table."""
MAX_READS = 50_000
"""Reads of a header, which takes about two an element and has a hundred elements; and fragments of a picture."""
DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    BytesLengthException,
    InvalidDicomError,
)
"""What pydicom and the decoders raise where bytes are damaged; anything else is a fault of a program's own."""
_KEYWORDS = [
    "Modality", "PresentationIntentType", "BodyPartExamined", "ViewPosition", "SamplesPerPixel",
    "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "ModalityLUTSequence",
    "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction",
    "PresentationLUTShape", "HighBit", "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "PatientOrientation", "ImageLaterality", "Laterality",
]  # fmt: skip
_TAGS = {tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None}
_SEQUENCES = {0x00283000, 0x00283010}
_PIXEL_DATA = 0x7FE00010
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""The same tag as bytes, in either byte order."""
_ITEM = b"\xfe\xff\x00\xe0"
_CHARACTER_SETS = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")
"""Tag of (0008,0005) in either byte order: pydicom looks at each of its values, wherever it stands."""


def read_header(data: bytes | bytearray) -> Dataset:
    """Read the elements that describe the picture, the transfer syntax, and ``PixelData``; nothing is decoded.

    ``dcmread`` is not used: it has no limits, and it inflates what is deflated.

    Raises:
        ImageError: not supported, cut off, or beyond a limit.
        DAMAGE: whatever pydicom makes of it.
    """
    stream = LimitedStream(data)
    stream.seek(first_element(data) or 0)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    # Without file meta information the pixels are native, little endian.
    guess = ExplicitVRLittleEndian if is_explicit(data, stream.tell()) else ImplicitVRLittleEndian
    syntax = UID(meta.get("TransferSyntaxUID") or guess)
    if syntax not in SUPPORTED:
        name = syntax.name if syntax.name != syntax else "an unknown one"
        raise UnsupportedDicomError(f"the DICOM file's transfer syntax is not supported: {name}")
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    header = read_dataset(stream, implicit, little, stop_when=_at_pixels, specific_tags=list(_TAGS))
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    _add_pixels(header, data, stream.tell())
    return header


class LimitedStream(io.BytesIO):
    """The stream that pydicom reads a header from. Its limits keep a crafted header from taking minutes."""

    def __init__(self, data: bytes | bytearray) -> None:
        super().__init__(data)
        self._reads, self._bytes, self._tag = MAX_READS, MAX_HEADER, b""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._reads -= 1
        self._bytes -= len(content)
        if self._reads < 0 or self._bytes < 0 or len(content) > MAX_VALUE:
            raise DamagedImageError("the DICOM file's header is far larger than that of any image")
        if self._tag in _CHARACTER_SETS and len(content) > MAX_WORD:
            raise DamagedImageError("the DICOM file's header is damaged")
        # Private: pydicom reads an element's tag, and with it VR or length, in one call for eight bytes.
        if size == ELEMENT:
            self._tag = content[:4]
        return content


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    """Whether the header ends here: asked by pydicom before it reads each element's value."""
    if tag in _TAGS - _SEQUENCES and length > MAX_WORD:
        raise DamagedImageError("the DICOM file's header is damaged")
    return tag == _PIXEL_DATA


def _add_pixels(header: Dataset, data: bytes | bytearray, start: int) -> None:
    """Add the ``PixelData`` element that begins at ``start``.

    Its fragments are counted, since pydicom lists them one by one.
    """
    implicit, little = header.original_encoding
    head = bytes(data[start : start + ELEMENT + 4])
    if head[:4] not in _PIXEL_TAGS:
        raise DamagedImageError("the DICOM file holds no picture, or is cut off before it")
    length = int.from_bytes(head[4:8] if implicit else head[8:12], "little" if little else "big")
    if length == UNDEFINED and not header.file_meta.TransferSyntaxUID.is_compressed:
        raise UnsupportedDicomError("the DICOM file's pixels are compressed, and it does not say how")
    first = start + ELEMENT + (0 if implicit else 4)
    content = bytes(memoryview(data)[first : None if length == UNDEFINED else first + length])
    if length == UNDEFINED and content.count(_ITEM) > MAX_READS:
        raise DamagedImageError("the DICOM file's picture is in far too many pieces")
    header.add_new(_PIXEL_DATA, "OB" if head[4:6] == b"OB" else "OW", content)


def code_string(header: Dataset, keyword: str) -> str:
    """An element's text in capitals; empty where it has none."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip().upper()
