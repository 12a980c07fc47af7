"""Show a DICOM image with square pixels (PS3.3 C.7.6.3.1.7) and the patient upright (C.7.6.1.1.1), by its header."""

import math

from PIL import Image
from pydicom import Dataset

from bento.imaging.dicom.header import code_string

PIXEL_SIZES = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Elements with the height and the width of a pixel, the one that counts most first."""
TOLERANCE = 0.01
"""Ratios of height to width that differ by no more are the same: spacings are rounded."""
MOST = 4.0
"""Largest ratio of a pixel's sides that is believed."""
LATERAL = {"LATERAL", "LAT", "LL", "RL", "LLAT", "RLAT"}
"""Values of (0018,5101) View Position."""

UPRIGHT, UNSAID = ("L", "F"), ("", "")
"""Directions that an upright frontal image's rows and columns run in: to the patient's left and feet; and no answer."""
TURNS = {
    ("R", "F"): Image.Transpose.FLIP_LEFT_RIGHT,
    ("L", "H"): Image.Transpose.FLIP_TOP_BOTTOM,
    ("R", "H"): Image.Transpose.ROTATE_180,
    ("F", "L"): Image.Transpose.TRANSPOSE,
    ("F", "R"): Image.Transpose.ROTATE_270,
    ("H", "L"): Image.Transpose.ROTATE_90,
    ("H", "R"): Image.Transpose.TRANSVERSE,
}
"""What makes an image of other directions upright."""


def square_pixels(image: Image.Image, header: Dataset, max_pixels: int, warnings: list[str]) -> Image.Image:
    """Resize an image whose pixels are not square, to the finer resolution of the two where ``max_pixels`` allows it.

    Args:
        image: mode ``L``, as stored.
        header: of the file.
        max_pixels: the result has no more.
        warnings: gets a sentence where the pixels' shape is not believed, or not said clearly.
    """
    ratios = [ratio for keyword in PIXEL_SIZES if (ratio := _pixel_ratio(header, keyword)) is not None]
    if not ratios:
        return image
    ratio = ratios[0]
    if any(abs(other / ratio - 1) > TOLERANCE for other in ratios):
        warnings.append("The DICOM header says in several ways what shape the pixels have, and they differ.")
    if abs(ratio - 1) <= TOLERANCE:
        return image
    if not 1 / MOST <= ratio <= MOST:
        warnings.append("The DICOM header gives the pixels a shape that no detector has; they were taken for square.")
        return image
    width, height = image.width * max(1, 1 / ratio), image.height * max(1, ratio)
    shrink = min(1, math.sqrt(max_pixels / (width * height)))
    size = (max(1, int(width * shrink + 0.5)), max(1, int(height * shrink + 0.5)))
    return image.resize(size, Image.Resampling.BILINEAR)


def _pixel_ratio(header: Dataset, keyword: str) -> float | None:
    """Height of a pixel divided by its width; None where the element is missing or says nothing, as zeros do."""
    try:
        height, width = (float(value) for value in header.get(keyword))
        ratio = height / width
    except Exception:  # whatever pydicom makes of damage
        return None
    return ratio if math.isfinite(ratio) and ratio > 0 else None


def turn_upright(image: Image.Image, header: Dataset, warnings: list[str]) -> Image.Image:
    """Turn or mirror an image to how a frontal radiograph is read: rows run to the patient's left, columns to the feet.

    Args:
        image: as stored.
        header: of the file.
        warnings: gets a sentence where the image was turned, is not frontal, or shows one side only.
    """
    directions = _directions(header)
    if is_lateral(header):
        warnings.append("The DICOM header says that this is a lateral view; the model knows frontal ones.")
    elif directions in TURNS:
        warnings.append("The DICOM header says that the image is stored turned or mirrored; it was turned upright.")
        image = image.transpose(TURNS[directions])
    elif directions not in (UPRIGHT, UNSAID):
        warnings.append("The DICOM header's patient orientation is not understood; the image is shown as stored.")
    if {"L", "R"} & {code_string(header, "ImageLaterality"), code_string(header, "Laterality")}:
        warnings.append("The DICOM header says that the image shows one side of the body only.")
    return image


def is_lateral(header: Dataset) -> bool:
    """Whether the header says that the view is a lateral one."""
    return code_string(header, "ViewPosition") in LATERAL or bool({"A", "P"} & {*_directions(header)})


def _directions(header: Dataset) -> tuple[str, ...]:
    """The main directions of rows and columns, a letter each, by (0020,0020) Patient Orientation."""
    try:
        value = header.get("PatientOrientation") or UNSAID
    except Exception:  # whatever pydicom makes of damage
        return ("?",)
    values = [value] if isinstance(value, str) else value
    return tuple(str(direction).strip().upper()[:1] for direction in values)
