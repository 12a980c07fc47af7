"""DICOM intake: from untrusted bytes to an 8-bit grey image. Imported with the first DICOM file, not before."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder

from bento.imaging.dicom.greyscale import shown
from bento.imaging.dicom.header import read_header, word
from bento.imaging.errors import (
    DamagedImageError,
    ImageError,
    NotChestError,
    TooManyPixelsError,
    UnsupportedDicomError,
)

RADIOGRAPHS = {"CR", "DX", "XR", "DR", "RG"}
"""Modalities: the first two are the standard's, the others are met with."""
UNSAID = {"", "OT", "SC"}
"""Modalities of images that were scanned or saved anew, as well as of anything else."""
OTHERS = {
    "CT", "MR", "US", "MG", "NM", "PT", "XA", "RF", "IO", "PX", "XC", "ES", "OP", "SM", "SR", "SEG", "ECG",
}  # fmt: skip
"""What an error may name; any other value may be anything, a person's name included."""
CHEST = ("CHEST", "THORAX", "TORAX", "LUNG", "RIB", "PULMO", "HEART", "STERN", "TORSO", "PECHO", "POUMON")
ELSEWHERE = (
    "ABDOMEN", "ANKLE", "ARM", "BRAIN", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE", "ELBOW", "EXTREMITY",
    "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "LUMBAR",
    "MANDIBLE", "NASAL", "NECK", "ORBIT", "PELVIS", "SACRUM", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE",
    "TEETH", "TIBIA", "TOE", "TOOTH", "TSPINE", "WRIST",
)  # fmt: skip
LATERAL = {"LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT"}
"""View positions."""
LUMINANCE = ("YBR_FULL", "YBR_FULL_422")
COLOURS = (*LUMINANCE, "RGB", "YBR_ICT", "YBR_RCT")


def read_image(data: bytes | bytearray, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
    """The first frame of a DICOM file (PS3.10), as its header says that it is to be shown.

    Rescaled or by the modality LUT, by the VOI LUT or else the first window or else over its own range, and inverted
    where white means air.

    Returns:
        The image, mode ``L``; and what is to be doubted about it, in sentences.

    Raises:
        ImageError: a subclass that says what is wrong, and quotes nothing that may be anybody's.
    """
    # `from None`: pydicom's own errors may quote the header.
    try:
        header = read_header(data)
        doubts = _check_kind(header)
        pixels, colours = _decode(header, max_pixels, doubts)
        if pixels.ndim == 3:
            return _colour_to_grey(pixels, colours), tuple(doubts)
        with np.errstate(all="ignore"):
            return shown(pixels, header, doubts), tuple(doubts)
    except ImageError:
        raise
    except Exception:
        raise DamagedImageError("the DICOM file is truncated or damaged") from None


def _check_kind(header: Dataset) -> list[str]:
    """Refuse what is plainly no image of a chest; what is not plain is a doubt."""
    doubts = []
    modality = word(header, "Modality")
    if modality in UNSAID:
        doubts.append("The DICOM header does not say that this is a radiograph (CR, DX).")
    elif modality not in RADIOGRAPHS:
        name = modality if modality in OTHERS else "another one"
        raise NotChestError(f"the DICOM file's modality is {name}, not a radiograph's (CR, DX)")
    part = word(header, "BodyPartExamined")
    words = re.split(r"[^A-Z]+", part)
    if part and not any(one.startswith(CHEST) for one in words):
        for place in ELSEWHERE:
            if any(one.startswith(place) for one in words):
                raise NotChestError(f"the DICOM file shows another part of the body: {place}, not the chest")
        doubts.append("The DICOM header names a part of the body that is not known to be the chest.")
    if word(header, "ViewPosition") in LATERAL:
        doubts.append("The DICOM header says that this is a lateral view; the model knows frontal ones.")
    if word(header, "PresentationIntentType") == "FOR PROCESSING":
        doubts.append("The DICOM file holds a detector's raw values, which are not meant to be looked at.")
    return doubts


def _decode(header: Dataset, max_pixels: int, doubts: list[str]) -> tuple[npt.NDArray[Any], str]:
    """The first frame's stored values, H×W or H×W×3, and what its colours are."""
    rows, columns = int(header.Rows), int(header.Columns)
    if rows * columns > max_pixels:
        raise TooManyPixelsError(f"the image is {columns}×{rows}: more than {max_pixels:,} pixels")
    allocated, stored, samples = header.BitsAllocated, header.BitsStored, header.SamplesPerPixel
    kind = word(header, "PhotometricInterpretation")
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
