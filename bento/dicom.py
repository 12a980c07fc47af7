"""DICOM intake: from untrusted bytes to an 8-bit grey film. Imported with the first DICOM file, not before.

Only the elements that say what the picture is are read. Those that name a person are skipped over unread, and
whatever pydicom has to say about any (its warnings and log lines quote values) is silenced.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import UID

from bento import codecs
from bento.images import (
    DamagedImageError,
    ImageError,
    NotChestError,
    TooManyPixelsError,
    UnsupportedDicomError,
)

logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module=r"pydicom\.")

START = 132
"""Bytes before the first element: the preamble and ``DICM``."""
MAX_ELEMENTS = 20_000
"""Of a header's top level; films have about a hundred."""
RADIOGRAPHS = {"CR", "DX", "XR", "DR", "RG"}
UNSAID = {"", "OT", "SC"}
"""Modalities of films that were scanned or saved anew, as well as of anything else."""
OTHERS = (
    "CT",
    "MR",
    "US",
    "MG",
    "NM",
    "PT",
    "XA",
    "RF",
    "IO",
    "PX",
    "XC",
    "ES",
    "OP",
    "SM",
    "SR",
    "SEG",
    "ECG",
)
"""What an error may name; any other value may be anything, a person's name included."""
CHEST = ("CHEST", "THORAX", "TORAX", "LUNG", "RIB", "PULMO", "HEART", "STERN", "TORSO", "PECHO", "POUMON")
ELSEWHERE = (
    "ABDOMEN", "ANKLE", "ARM", "BRAIN", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY",
    "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "LUMBAR",
    "MANDIBLE", "NASAL", "NECK", "ORBIT", "PELVIS", "SACRUM", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE",
    "TEETH", "TIBIA", "TOE", "TOOTH", "TSPINE", "WRIST",
)  # fmt: skip
LATERAL = {"LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT"}
LUMINANCE = ("YBR_FULL", "YBR_FULL_422")
COLOURS = (*LUMINANCE, "RGB", "YBR_ICT", "YBR_RCT")
_READ = [
    "Modality", "BodyPartExamined", "ViewPosition", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "ModalityLUTSequence", "RescaleSlope",
    "RescaleIntercept", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
]  # fmt: skip
_TAGS = [tag for keyword in _READ if (tag := tag_for_keyword(keyword)) is not None]

_FAR = 1e12

Floats = npt.NDArray[np.float64]


def read_film(data: bytes | bytearray, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
    """The first frame of a DICOM file (PS3.10), as its header says that it is to be shown.

    Rescaled or by the modality LUT, by the VOI LUT or else the first window or else over its own range, and inverted
    where white means air.

    Returns:
        The film, mode ``L``; and what is to be doubted about it, in sentences.

    Raises:
        ImageError: a subclass that says what is wrong, and quotes nothing that may be anybody's.
    """
    # `from None`: pydicom's own errors may quote the header.
    try:
        header = _read(data)
        doubts = _check_kind(header)
        pixels, colours = _decode(header, max_pixels, doubts)
        if pixels.ndim == 3:
            return _colour_to_grey(pixels, colours), tuple(doubts)
        with np.errstate(all="ignore"):
            return _shown(pixels, header, doubts), tuple(doubts)
    except ImageError:
        raise
    except Exception:
        raise DamagedImageError("the DICOM file is truncated or damaged") from None


def _read(data: bytes | bytearray) -> Dataset:
    """The elements of :data:`_READ`. Not by ``dcmread``, which inflates without a limit."""
    stream = io.BytesIO(data)
    stream.seek(START)
    meta = read_dataset(stream, False, True, stop_when=_counted(lambda tag: tag >> 16 != 2))
    syntax = meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID):
        raise DamagedImageError("the DICOM file names no transfer syntax")
    if syntax not in codecs.SUPPORTED:
        name = UID_dictionary[syntax][0] if syntax in UID_dictionary else "a private one"
        raise UnsupportedDicomError(f"the DICOM file's transfer syntax is not supported: {name}")
    header = read_dataset(
        stream,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=_counted(lambda tag: False),
        specific_tags=list(_TAGS),
    )
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    return header


def _counted(stop: Callable[[int], bool]) -> Callable[[int, str | None, int], bool]:
    left = MAX_ELEMENTS

    def stop_when(tag: int, vr: str | None, length: int) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise DamagedImageError(f"the DICOM file has more than {MAX_ELEMENTS:,} elements")
        return stop(tag)

    return stop_when


def _check_kind(header: Dataset) -> list[str]:
    """Refuse what is plainly no film of a chest; what is not plain is a doubt."""
    doubts = []
    modality = _word(header, "Modality")
    if modality in UNSAID:
        doubts.append("The DICOM header does not say that this is a radiograph (CR, DX).")
    elif modality not in RADIOGRAPHS:
        name = modality if modality in OTHERS else "another one"
        raise NotChestError(f"the DICOM file's modality is {name}, not a radiograph's (CR, DX)")
    part = _word(header, "BodyPartExamined")
    words = re.split(r"[^A-Z]+", part)
    if part and not any(word.startswith(CHEST) for word in words):
        for place in ELSEWHERE:
            if any(word.startswith(place) for word in words):
                raise NotChestError(f"the DICOM file shows another part of the body: {place}, not the chest")
        doubts.append("The DICOM header names a part of the body that is not known to be the chest.")
    if _word(header, "ViewPosition") in LATERAL:
        doubts.append("The DICOM header says that this is a lateral view; the model knows frontal ones.")
    return doubts


def _word(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return str(value if value is not None else "").strip().upper()


def _decode(header: Dataset, max_pixels: int, doubts: list[str]) -> tuple[npt.NDArray[Any], str]:
    """The first frame's stored values, H×W or H×W×3, and what its colours are."""
    if "PixelData" not in header:
        raise DamagedImageError("the DICOM file holds no picture, or is cut off before it")
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > max_pixels:
        raise TooManyPixelsError(f"the image is {columns}×{rows}: more than {max_pixels:,} pixels")
    samples, allocated, stored = (
        int(header.SamplesPerPixel),
        int(header.BitsAllocated),
        int(header.BitsStored),
    )
    kind = _word(header, "PhotometricInterpretation")
    grey = kind in ("MONOCHROME1", "MONOCHROME2") and samples == 1
    if not (grey or (kind in COLOURS and samples == 3 and allocated == 8)):
        raise UnsupportedDicomError("the DICOM file's pixels are neither grey nor RGB or YBR of 8 bits")
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise UnsupportedDicomError("the DICOM file's pixels have neither 8 nor 16 bits")
    if int(header.get("NumberOfFrames") or 1) > 1:
        doubts.append("The DICOM file has several frames; only the first one was read.")
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    pixels, properties = decoder.as_array(header, index=0, raw=True)
    if pixels.shape[:2] != (rows, columns):
        raise DamagedImageError("the DICOM file's picture has another size than its header says")
    return pixels, str(properties["photometric_interpretation"])


def _colour_to_grey(pixels: npt.NDArray[np.uint8], colours: str) -> Image.Image:
    if colours in LUMINANCE:  # whose first channel is what grey is computed as from RGB
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    return Image.fromarray(pixels).convert("L")


def _shown(pixels: npt.NDArray[Any], header: Dataset, doubts: list[str]) -> Image.Image:
    """Every step works on one value, whatever its place: one table of at most 65,536 levels does for all pixels."""
    low, high = int(pixels.min()), int(pixels.max())
    levels = np.arange(low, high + 1)
    padding = _padding(levels, header)
    used = ~padding
    if padding.any():
        present = np.zeros(len(levels), bool)
        for row in pixels:
            present[row.astype(np.intp) - low] = True
        used &= present
    if not used.any():
        padding, used = np.zeros_like(used), np.ones_like(used)
    table = _table(levels, used, header, doubts)
    inverse = _word(header, "PresentationLUTShape") == "INVERSE"
    if inverse or _word(header, "PhotometricInterpretation") == "MONOCHROME1":
        table = 255 - table
    table[padding] = 0
    grey = np.empty(pixels.shape, np.uint8)
    # Row by row: an index for the whole film would take eight bytes a pixel.
    for row, target in zip(pixels, grey, strict=True):
        np.take(table, row.astype(np.intp) - low, out=target)
    return Image.fromarray(grey)


def _padding(levels: npt.NDArray[np.int64], header: Dataset) -> npt.NDArray[np.bool_]:
    """Which levels mean that nothing was there (PS3.3 C.7.5.1.1.2): black whatever white means."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(levels), bool)
    last = header.get("PixelPaddingRangeLimit")
    ends = (int(first), int(first if last is None else last))
    return (levels >= min(ends)) & (levels <= max(ends))


def _table(
    levels: npt.NDArray[np.int64], used: npt.NDArray[np.bool_], header: Dataset, doubts: list[str]
) -> npt.NDArray[np.uint8]:
    """Grey of each level, before any inversion."""
    values = _rescaled(levels, header)
    if not np.isfinite(values).all():
        raise DamagedImageError("the DICOM header rescales the picture to nothing")
    low, high = values[used].min(), values[used].max()
    own = _bytes((values - low) / max(high - low, np.finfo(float).tiny))
    try:
        shown = _windowed(values, header)
    except Exception:  # of a window that is damaged, e.g. of no width
        shown = np.zeros(len(values))
    if shown is None:
        return own
    table = _bytes(shown)
    if low < high and table[used].min() == table[used].max():
        doubts.append(
            "The DICOM header's window leaves nothing to see; the film's own range was taken instead."
        )
        return own
    return table


def _bytes(fractions: Floats) -> npt.NDArray[np.uint8]:
    return np.rint(255 * np.nan_to_num(fractions).clip(0, 1)).astype(np.uint8)


def _rescaled(levels: npt.NDArray[np.int64], header: Dataset) -> Floats:
    if header.get("ModalityLUTSequence"):
        return _looked_up(levels.astype(np.float64), header.ModalityLUTSequence[0], header)[0]
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return levels * float(1 if slope is None else slope) + float(0 if intercept is None else intercept)


def _windowed(values: Floats, header: Dataset) -> Floats | None:
    """Fractions of white by the VOI LUT, or else by the first window; None without either."""
    if header.get("VOILUTSequence"):
        shown, white = _looked_up(values, header.VOILUTSequence[0], header)
        # Not by the bits that the LUT is said to have: some say 16 for tables of 12.
        return shown / white
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        return None
    # Two values that no window holds say what black and white are.
    shown = apply_windowing(np.append(values, (-_FAR, _FAR)), header)
    return np.asarray((shown[:-2] - shown[-2]) / (shown[-1] - shown[-2]))


def _looked_up(values: Floats, item: Dataset, header: Dataset) -> tuple[Floats, float]:
    """Entries for values (PS3.3 C.11.1, C.11.2), the first and the last for those beyond; and the largest entry."""
    entries, first, _ = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = np.frombuffer(data, np.uint8 if len(data) == entries else f"{order}u2")
    table = np.atleast_1d(np.asarray(data, np.float64))[: entries % 65536 or 65536]
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.intp)
    return table[index], float(table.max())
