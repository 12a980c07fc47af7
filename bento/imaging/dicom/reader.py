"""DICOM intake: from untrusted bytes to an 8-bit grey image. Imported with the first DICOM file, not before."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000TransferSyntaxes

from bento.imaging.dicom.geometry import square_pixels, turn_upright
from bento.imaging.dicom.greyscale import to_grey
from bento.imaging.dicom.header import DAMAGE, code_string, read_header
from bento.imaging.errors import (
    DamagedImageError,
    ImageError,
    NotChestError,
    TooManyPixelsError,
    UnsupportedDicomError,
)

RADIOGRAPHY = {"CR", "DX", "XR", "DR", "RG"}
"""Modalities of radiographs: the first two are the standard's (PS3.3 C.7.3.1.1.1), the others are met with."""
UNSPECIFIC = {"", "OT", "SC"}
"""Modalities of images that were scanned or saved anew, as well as of anything else."""
NAMEABLE = {
    "CT", "MR", "US", "MG", "NM", "PT", "XA", "RF", "IO", "PX", "XC", "ES", "OP", "SM", "SR", "SEG", "ECG",
}  # fmt: skip
"""Other modalities that an error may name; any other value may be anything, a person's name included."""
CHEST = ("CHEST", "THORAX", "TORAX", "LUNG", "RIB", "PULMO", "HEART", "STERN", "TORSO", "PECHO", "POUMON")
"""Beginnings of words in (0018,0015) Body Part Examined that mean the chest."""
ELSEWHERE = (
    "ABDOMEN", "ANKLE", "ARM", "BRAIN", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY",
    "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "LUMBAR",
    "MANDIBLE", "NASAL", "NECK", "ORBIT", "PELVIS", "SACRUM", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE",
    "TEETH", "TIBIA", "TOE", "TOOTH", "TSPINE", "WRIST",
)  # fmt: skip
"""Beginnings of words in the same element that mean another part of the body."""
LUMINANCE = ("YBR_FULL", "YBR_FULL_422")
"""Photometric interpretations whose first channel is what grey is computed as from RGB."""
COLOURS = (*LUMINANCE, "RGB", "YBR_ICT", "YBR_RCT")
"""Photometric interpretations in colour that are read."""


def read_dicom(data: bytes | bytearray, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Read the first frame of a DICOM file (PS3.10), as its header says that it is to be shown.

    Stored values are rescaled or go through the modality LUT; then through the VOI LUT, or else the first window, or
    else their own range becomes that of the greys; and they are inverted where white means air.

    Args:
        data: the file.
        max_pixels: an image of more pixels is refused.

    Returns:
        The image, mode ``L``; and sentences, to be shown as input warnings, about what in the header is unusual.

    Raises:
        ImageError: a subclass that says what is wrong, and quotes nothing that may be anybody's.
    """
    # `from None`: pydicom's own errors may quote the header.
    try:
        header = read_header(data)
        warnings = check_kind(header)
        pixels, colours = _decode(header, max_pixels, warnings)
        if pixels.ndim == 3:
            image = _colour_to_grey(pixels, colours)
        else:
            with np.errstate(all="ignore"):
                image = to_grey(pixels, header, warnings)
        image = square_pixels(image, header, max_pixels, warnings)
        return turn_upright(image, header, warnings), tuple(warnings)
    except ImageError:
        raise
    except DAMAGE:
        raise DamagedImageError("the DICOM file is truncated or damaged") from None


def check_kind(header: Dataset) -> list[str]:
    """Refuse what the header says is no radiograph of a chest, and warn where it does not say what it is.

    Returns:
        The warnings' sentences.

    Raises:
        NotChestError: another modality, or another part of the body.
    """
    warnings = []
    modality = code_string(header, "Modality")
    if modality in UNSPECIFIC:
        warnings.append("The DICOM header does not say that this is a radiograph (CR, DX).")
    elif modality not in RADIOGRAPHY:
        name = modality if modality in NAMEABLE else "another one"
        raise NotChestError(f"the DICOM file's modality is {name}, not a radiograph's (CR, DX)")
    part = code_string(header, "BodyPartExamined")
    words = re.split(r"[^A-Z]+", part)
    if part and not any(word.startswith(CHEST) for word in words):
        for place in ELSEWHERE:
            if any(word.startswith(place) for word in words):
                raise NotChestError(f"the DICOM file shows another part of the body: {place}, not the chest")
        warnings.append("The DICOM header names a part of the body that is not known to be the chest.")
    if code_string(header, "PresentationIntentType") == "FOR PROCESSING":
        warnings.append("The DICOM file holds a detector's raw values, which are not meant to be looked at.")
    return warnings


def _decode(header: Dataset, max_pixels: int, warnings: list[str]) -> tuple[npt.NDArray[Any], str]:
    """The first frame's stored values, ``(u)int8`` or ``(u)int16`` H×W or H×W×3, and their photometric interpretation.

    ``warnings`` gets a sentence where there are further frames.
    """
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > max_pixels:
        raise TooManyPixelsError(f"the image is {columns}×{rows}: more than {max_pixels:,} pixels")
    if "SamplesPerPixel" not in header:  # as before DICOM, in ACR-NEMA 2.0
        header.SamplesPerPixel = 1
    if not code_string(header, "PhotometricInterpretation") and header.SamplesPerPixel == 1:
        header.PhotometricInterpretation = "MONOCHROME2"
        warnings.append("The DICOM header does not say whether high values are white; they were taken to be.")
    allocated, stored, samples = header.BitsAllocated, header.BitsStored, header.SamplesPerPixel
    interpretation = code_string(header, "PhotometricInterpretation")
    is_grey = interpretation in ("MONOCHROME1", "MONOCHROME2") and samples == 1
    if not (is_grey or (interpretation in COLOURS and samples == 3 and allocated == 8)):
        raise UnsupportedDicomError("the DICOM file's pixels are neither grey nor RGB or YBR of 8 bits")
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise UnsupportedDicomError("the DICOM file's pixels have neither 8 nor 16 bits")
    if int(header.get("NumberOfFrames") or 1) > 1:
        warnings.append("The DICOM file has several frames; only the first one was read.")
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    # pydicom's annotation of its options says something else than its documentation.
    pixels, properties = decoder.as_array(header, index=0, raw=True, correct_unused_bits=False)  # type: ignore[arg-type]
    if pixels.shape[:2] != (rows, columns):
        raise DamagedImageError("the DICOM file's picture has another size than its header says")
    return _values(pixels, header, warnings), str(properties["photometric_interpretation"])


def _values(pixels: npt.NDArray[Any], header: Dataset, warnings: list[str]) -> npt.NDArray[Any]:
    """The numbers in the bits that the header says are in use (PS3.5 8.1.1): ``BitsStored`` of them up to ``HighBit``.

    Args:
        pixels: all allocated bits, ``(u)int8`` or ``(u)int16`` of any shape; may be overwritten.
        header: of the file.
        warnings: gets a sentence where the pixels or another element contradict these two.
    """
    allocated, stored = 8 * pixels.itemsize, int(header.BitsStored)
    in_use = int(np.bitwise_or.reduce(pixels, axis=None)) % (1 << allocated)
    high = header.get("HighBit")
    below = 0 if high is None else int(high) + 1 - stored
    if not 0 <= below <= allocated - stored or (in_use % (1 << below) and not in_use >> stored):
        warnings.append("The DICOM header's HighBit does not fit its other elements or the pixels; it was left out.")
        below = 0
    if pixels.dtype.kind == "u" and below == 0 and in_use >> stored:
        warnings.append("The DICOM file's pixels do not fit into the number of bits that its header gives.")
    if header.file_meta.TransferSyntaxUID in JPEG2000TransferSyntaxes and below == 0:
        return pixels  # the compressed stream itself says how many bits there are
    # From the top of the allocated bits to their bottom: the sign goes with the highest.
    pixels <<= allocated - stored - below
    pixels >>= allocated - stored
    return pixels


def _colour_to_grey(pixels: npt.NDArray[np.uint8], interpretation: str) -> Image.Image:
    """The luminance of H×W×3 colours."""
    if interpretation in LUMINANCE:
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    return Image.fromarray(pixels).convert("L")
