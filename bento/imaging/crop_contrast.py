"""What the intake does to an image besides resizing it: off with what is not anatomy, and one exposure for all.

Black or white borders, collimation and exposure tell the hospital, not the disease.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.uint8]

SIDE = 128
"""Borders are looked for on an image reduced to this longer side."""
UNIFORM = 12
"""A line of pixels is border where nine tenths of it lie within this many grey levels…"""
DARK = 0.1
"""…or below this share of the image's own range; a burnt-in letter covers less than a tenth of a line."""
LEAST = 0.5
"""At least this share of each side stays: an image that seems to have less anatomy is kept whole."""
TILES = 8
CLIP = 2.0
"""Of CLAHE: tiles a side, and the highest bin of a tile's histogram in multiples of the mean one."""


def anatomy_box(radiograph: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel of the image without its uniform or dark borders.

    Args:
        radiograph: mode ``L``.
    """
    width, height = radiograph.size
    scale = max(1.0, max(width, height) / SIDE)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = np.asarray(radiograph.resize(size, Image.Resampling.BOX) if scale > 1 else radiograph)
    top, bottom = _span(small)
    left, right = _span(small[top:bottom].T)
    across, down = width / size[0], height / size[1]
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _span(lines: Grey) -> tuple[int, int]:
    """First and last line (exclusive) that is no border, of lines × pixels."""
    count, pixels = lines.shape
    tenth = pixels // 10
    ranks = [0, tenth, pixels - 1 - tenth, pixels - 1]
    least, low, high, most = np.partition(lines, ranks, axis=1)[:, ranks].T.astype(np.int16)
    darkest, brightest = int(low.min()), int(high.max())
    border = (high < darkest + DARK * (brightest - darkest)) | (np.minimum(high - least, most - low) < UNIFORM)
    inner = np.flatnonzero(~border)
    if len(inner) == 0 or inner[-1] + 1 - inner[0] < LEAST * count:
        return 0, count
    return int(inner[0]), int(inner[-1]) + 1


def equalise(image: Grey) -> Grey:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994), :data:`TILES` × :data:`TILES` tiles.

    Args:
        image: ``uint8`` H×W, at least one pixel a tile.
    """
    above, below, down = _neighbours(image.shape[0])
    left, _, across = _neighbours(image.shape[1])
    levels = _levels(image)
    # Left and right neighbour in one word of two 16-bit lanes: half the look-ups, and lanes that never carry over.
    pairs = np.empty((TILES, TILES + 1, 256), np.uint32)
    pairs[:, 1:] = levels
    pairs[:, 0] = levels[:, 0]
    pairs[:, :-1] |= levels << 16
    pairs[:, -1] |= levels[:, -1] << 16
    table, row = pairs.ravel(), (TILES + 1) * 256
    place = image + (left + 1) * 256
    mixed = table.take(place + (np.maximum(above, 0) * row)[:, None])
    mixed *= 256 - down[:, None]
    lower = table.take(place + (below * row)[:, None])
    lower *= down[:, None]
    mixed += lower
    result = mixed & 0xFFFF
    result *= 256 - across
    mixed >>= 16
    mixed *= across
    result += mixed
    return np.asarray(result >> 16, dtype=np.uint8)


def _levels(image: Grey) -> npt.NDArray[np.uint32]:
    """What each tile makes of each grey level: TILES×TILES×256, each in [0, 255]."""
    height, width = image.shape
    rows, cols = np.arange(height) * TILES // height, np.arange(width) * TILES // width
    tile = (rows[:, None] * TILES + cols) * 256
    counts = np.bincount((tile + image).ravel(), minlength=TILES * TILES * 256).reshape(-1, 256)
    pixels = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    kept = np.minimum(counts, np.maximum(1, CLIP * pixels / 256))
    share = (pixels - kept.sum(axis=1, keepdims=True)) / 256
    levels = (kept + share).cumsum(axis=1) * (255 / pixels)
    return np.asarray(np.rint(levels), dtype=np.uint32).reshape(TILES, TILES, 256)


def _neighbours(
    pixels: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.uint32]]:
    """For each pixel of a line the two tiles whose centres it lies between (the first from -1), and how far it is
    from the first to the second, in 256ths."""
    place = (np.arange(pixels) + 0.5) * TILES / pixels - 0.5
    first = np.floor(place).astype(np.intp)
    share = np.rint((place - first) * 256).astype(np.uint32)
    return first, np.minimum(first + 1, TILES - 1), share
