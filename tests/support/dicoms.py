"""Generate DICOM files. Each holds a patient's name, which must come out nowhere."""

import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset, uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.sequence import Sequence as Items

SECRET = "Zebrafink"
"""The name: in every element that names a person, and in no other."""
Pixels = npt.NDArray[Any]

LOSSY = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000}
LOSSLESS = [
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless,
    uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless,
]  # fmt: skip


def dicom(
    pixels: Pixels,
    syntax: uid.UID = uid.ExplicitVRLittleEndian,
    *,
    bits: int = 0,
    stream: bytes = b"",
    without: Sequence[str] = (),
    **elements: Any,
) -> bytes:
    """The bytes of a DICOM file.

    Args:
        pixels: ``(u)int8`` or ``(u)int16`` H×W, H×W×3, or N frames of H×W with ``NumberOfFrames``.
        syntax: transfer syntax.
        bits: stored; 0: all.
        stream: the compressed frame, instead of one made here.
        without: keywords of elements that the file lacks.
        elements: by keyword, beyond or instead of the usual ones.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = elements.get("SOPClassUID", uid.DigitalXRayImageStorageForPresentation)
    meta.MediaStorageSOPInstanceUID = uid.UID(elements.get("SOPInstanceUID", "1.2.3"))
    data = FileDataset(
        "",
        {},
        bytes(128),
        meta,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    bits = bits or 8 * pixels.itemsize
    colour = pixels.shape[-1] == 3
    frames = "NumberOfFrames" in elements
    rows, columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    usual = {
        "PatientName": f"{SECRET}^Jane", "PatientID": SECRET, "PatientBirthDate": "19600102",
        "InstitutionName": SECRET, "ReferringPhysicianName": SECRET, "StudyDescription": SECRET,
        "Modality": "DX", "BodyPartExamined": "CHEST", "Rows": rows, "Columns": columns,
        "SamplesPerPixel": 3 if colour else 1, "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": 8 * pixels.itemsize, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }  # fmt: skip
    if colour:
        usual["PlanarConfiguration"] = 0
    for keyword, value in (usual | elements).items():
        setattr(data, keyword, value)
    if syntax.is_compressed:
        parts = pixels if frames else [pixels]
        data.PixelData = encapsulate([stream or compressed(part, syntax, bits) for part in parts])
    else:
        order = pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
        content = stream or pixels.astype(order).tobytes()
        data.PixelData = content + bytes(len(content) % 2)
    data["PixelData"].VR = "OB" if syntax.is_compressed or pixels.itemsize == 1 else "OW"
    for keyword in without:
        delattr(data, keyword)
    target = io.BytesIO()
    data.save_as(target, enforce_file_format=True)
    return target.getvalue()


def bare_dicom(pixels: Pixels, syntax: uid.UID, **elements: Any) -> bytes:
    """A native DICOM file without preamble and file meta information, as old archives have them."""
    data = pydicom.dcmread(io.BytesIO(dicom(pixels, syntax, **elements)))
    target = io.BytesIO()
    pydicom.dcmwrite(target, Dataset(data), implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return target.getvalue()


def compressed(pixels: Pixels, syntax: uid.UID, bits: int) -> bytes:
    """One frame's compressed stream."""
    stored = np.ascontiguousarray(pixels).view(f"u{pixels.itemsize}") & (2**bits - 1)
    stored = stored.astype(np.uint8 if bits <= 8 else np.uint16)
    space = "RGB" if pixels.ndim == 3 else None
    jpeg8 = partial(imagecodecs.jpeg8_encode, stored, bitspersample=bits, colorspace=space, outcolorspace=space)
    match syntax:
        case uid.RLELossless:
            return rle(pixels)
        case uid.JPEGLSLossless | uid.JPEGLSNearLossless:
            return bytes(imagecodecs.jpegls_encode(stored, level=0 if syntax == uid.JPEGLSLossless else 1))
        case uid.JPEG2000Lossless | uid.JPEG2000:
            return bytes(imagecodecs.jpeg2k_encode(stored, codecformat="J2K", bitspersample=bits, level=0))
        case uid.JPEGLossless | uid.JPEGLosslessSV1:
            predictor = 1 if syntax == uid.JPEGLosslessSV1 else 6
            return bytes(jpeg8(lossless=True, predictor=predictor))
        case _:
            return bytes(jpeg8(level=98))


def rle(pixels: Pixels) -> bytes:
    """One frame's RLE stream, by pydicom's own encoder."""
    encoder = get_encoder(uid.RLELossless)
    return bytes(
        encoder.encode(
            pixels.tobytes(),
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=3 if pixels.ndim == 3 else 1,
            bits_allocated=8 * pixels.itemsize,
            bits_stored=8 * pixels.itemsize,
            pixel_representation=0,
            number_of_frames=1,
            photometric_interpretation="RGB" if pixels.ndim == 3 else "MONOCHROME2",
            planar_configuration=0,
        )
    )


def lookup_table(entries: Sequence[int], first: int, bits: int, *, packed: bool = False) -> Items:
    """A sequence with one lookup table; ``packed``: as bytes, else as numbers."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    data = np.asarray(entries, "<u2").tobytes() if packed else list(entries)
    item.add_new("LUTData", "OW" if packed else "US", data)
    return Items([item])
