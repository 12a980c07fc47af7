"""DICOM data as bytes: files, and templates that are encoded once and filled for each image.

A report's content tree has some six hundred elements, nearly all of them the same for each image; making and encoding
it anew takes a hundred times as long as putting the few values into their places.
"""

import io
import re
import struct
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_sequence_item
from pydicom.valuerep import DS

ASCII = "iso8859"
"""pydicom's name of the default character repertoire."""


def encoded(result: Dataset) -> bytes:
    """A dataset as a DICOM file."""
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def encoded_part(dataset: Dataset, *, is_item: bool) -> bytes:
    """Elements in Explicit VR Little Endian, their sequences without lengths, so that values of any length fit in.

    Args:
        dataset: its texts are ASCII.
        is_item: encode it as an item of a sequence.
    """
    _leave_lengths_out(dataset)
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    if is_item:
        write_sequence_item(stream, dataset, [ASCII])
    else:
        write_dataset(stream, dataset)
    return stream.getvalue()


def _leave_lengths_out(dataset: Dataset) -> None:
    dataset.is_undefined_length_sequence_item = True
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                _leave_lengths_out(item)


class Template:
    """Encoded elements with gaps.

    Args:
        data: the elements with a value in each gap.
        gaps: those values with what comes before them: see :func:`uid`, :func:`decimal` and :func:`double`.

    Raises:
        ValueError: a gap is not there.
    """

    def __init__(self, data: bytes, gaps: Sequence[bytes]) -> None:
        self._parts = re.split(b"(" + b"|".join(map(re.escape, gaps)) + b")", data)
        self._gaps = [gaps.index(part) for part in self._parts[1::2]]
        if set(self._gaps) != set(range(len(gaps))):
            raise ValueError("the template lacks a gap")

    def filled(self, values: Sequence[bytes]) -> bytes:
        """The elements with other values, in the order of the gaps."""
        parts = self._parts.copy()
        parts[1::2] = [values[gap] for gap in self._gaps]
        return b"".join(parts)


def uid(text: str) -> bytes:
    """An encoded UID, with its VR and length."""
    return _short("UI", text.encode(), b"\0")


def decimal(value: float) -> bytes:
    """An encoded decimal string, rounded to the 16 characters that it may have."""
    return _short("DS", str(DS(value, auto_format=True)).encode(), b" ")


def double(value: float) -> bytes:
    """An encoded floating point number."""
    return _short("FD", struct.pack("<d", value), b"")


def _short(kind: str, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return kind.encode() + struct.pack("<H", len(value)) + value
