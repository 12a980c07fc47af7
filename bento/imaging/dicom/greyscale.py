"""From the values that a DICOM file stores to the greys that it is to be shown with (PS3.3 C.11, C.7.6.3)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.processing import apply_windowing

from bento.imaging.dicom.header import code_string
from bento.imaging.errors import DamagedImageError

_FAR = 1e12
"""Beyond every value of every window."""

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def to_grey(pixels: npt.NDArray[Any], header: Dataset, warnings: list[str]) -> Image.Image:
    """Make an image of mode ``L``: rescaled or by the modality LUT, windowed, and inverted where low values mean white.

    Every step works on one value, whatever its place: one table of at most 65,536 levels does for all pixels.

    Args:
        pixels: stored values, ``(u)int8`` or ``(u)int16`` H×W.
        header: of the file.
        warnings: gets a sentence where the header's window is no use.

    Raises:
        DamagedImageError: the values can't be rescaled.
    """
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
    table = _table(levels, used, header, warnings)
    is_inverse = code_string(header, "PresentationLUTShape") == "INVERSE"
    if is_inverse or code_string(header, "PhotometricInterpretation") == "MONOCHROME1":
        table = 255 - table
    table[padding] = 0
    grey = np.empty(pixels.shape, np.uint8)
    # Row by row: an index for the whole image would take eight bytes a pixel.
    for row, target in zip(pixels, grey, strict=True):
        np.take(table, row.astype(np.intp) - low, out=target)
    return Image.fromarray(grey)


def _padding(levels: Levels, header: Dataset) -> Mask:
    """Which levels are padding (PS3.3 C.7.5.1.1.2), which is black whether low values mean white or black."""
    first = header.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(levels), bool)
    last = header.get("PixelPaddingRangeLimit")
    ends = (int(first), int(first if last is None else last))
    return (levels >= min(ends)) & (levels <= max(ends))


def _table(levels: Levels, used: Mask, header: Dataset, warnings: list[str]) -> Bytes:
    """Grey of each level, before any inversion. The range of the ``used`` levels counts where there is no window."""
    values = _rescaled(levels, header)
    if not np.isfinite(values).all():
        raise DamagedImageError("the DICOM header rescales the picture to nothing")
    low, high = values[used].min(), values[used].max()
    by_range = _bytes((values - low) / max(high - low, np.finfo(float).tiny))
    try:
        windowed = _windowed(values, header)
    except Exception:  # of a window that is damaged, e.g. of no width
        windowed = np.zeros(len(values))
    if windowed is None:
        return by_range
    table = _bytes(windowed)
    if low < high and table[used].min() == table[used].max():
        warnings.append("The DICOM header's window leaves nothing to see; the image's own range was taken instead.")
        return by_range
    return table


def _bytes(fractions: Floats) -> Bytes:
    """Fractions of white as grey levels."""
    greys: Bytes = np.rint(255 * np.nan_to_num(fractions).clip(0, 1)).astype(np.uint8)
    return greys


def _rescaled(levels: Levels, header: Dataset) -> Floats:
    """The values that stored ones stand for, by the modality LUT or by slope and intercept (PS3.3 C.11.1)."""
    if header.get("ModalityLUTSequence"):
        return _looked_up(levels.astype(np.float64), header.ModalityLUTSequence[0], header)[0]
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    values = levels.astype(np.float64)
    values *= 1 if slope is None else float(slope)
    values += 0 if intercept is None else float(intercept)
    return values


def _windowed(values: Floats, header: Dataset) -> Floats | None:
    """Fractions of white by the VOI LUT, or else by the first window; None without either."""
    if header.get("VOILUTSequence"):
        entries, white = _looked_up(values, header.VOILUTSequence[0], header)
        # Not by the bits that the LUT is said to have: some say 16 for tables of 12.
        return entries / white
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        return None
    # Two values that no window holds say what black and white are.
    windowed = apply_windowing(np.append(values, (-_FAR, _FAR)), header)
    return np.asarray((windowed[:-2] - windowed[-2]) / (windowed[-1] - windowed[-2]))


def _looked_up(values: Floats, item: Dataset, header: Dataset) -> tuple[Floats, float]:
    """A lookup table's entry for each value (PS3.3 C.11.1, C.11.2), and the table's largest entry.

    Values before the table's first get its first entry, those after its last the last one.
    """
    entries, first, _ = (int(number) for number in item.LUTDescriptor)
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = np.frombuffer(data, np.uint8 if len(data) == entries else f"{order}u2")
    table = np.atleast_1d(np.asarray(data, np.float64))[: entries % 65536 or 65536]
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.intp)
    return table[index], float(table.max())
