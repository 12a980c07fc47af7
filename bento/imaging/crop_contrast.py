"""Find the anatomy's box in a radiograph, and bring all radiographs to a similar exposure.

Black or white borders, collimation and exposure tell the hospital, not the disease.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.uint8]

SIDE = 128
"""Longer side in pixels of the reduced image on which borders are looked for."""
UNIFORM = 12
"""A row or column is border where nine tenths of its pixels lie within fewer grey levels than this. A burnt-in letter
covers less than a tenth."""
DARK = 0.1
"""A row or column is border, too, where nine tenths of its pixels lie below this share of the image's range."""
LEAST = 0.5
"""Share of each side that is kept at least: an image that seems to have less anatomy is kept whole."""
TILES = 8
"""Tiles per side of CLAHE."""
CLIP = 2.0
"""Highest bin of a tile's histogram in CLAHE, in multiples of the mean bin."""


def anatomy_box(radiograph: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right (exclusive) and bottom (exclusive) pixel of the image without its uniform or dark borders.

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
    """First and last (exclusive) line of an array of lines × pixels that is no border."""
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
    """Contrast-limited adaptive histogram equalisation (CLAHE; Zuiderveld 1994) in :data:`TILES` × :data:`TILES` tiles.

    Args:
        image: ``uint8`` H×W.

    Returns:
        ``uint8`` H×W.
    """
    above, below, down = _neighbours(image.shape[0])
    left, _, across = _neighbours(image.shape[1])
    levels = _levels(image)
    # A pixel's left and right neighbour tile share one word of two 16-bit lanes, which never carry over: that halves
    # the look-ups.
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
    """The grey level that each tile's histogram maps each grey level to: TILES×TILES×256, in [0, 255]."""
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
    """The two tiles whose centres each pixel of a line lies between, and where between them.

    Returns:
        Three arrays of ``pixels``: the first tile, -1 before the first centre; the second tile; and the distance from
        the first centre to the second in 256ths of theirs.
    """
    place = (np.arange(pixels) + 0.5) * TILES / pixels - 0.5
    first = np.floor(place).astype(np.intp)
    share = np.rint((place - first) * 256).astype(np.uint32)
    return first, np.minimum(first + 1, TILES - 1), share
