"""Find images that show the same picture: copies that were resized, compressed again or changed in brightness.

Chest radiographs are so alike that difference hashes pair thousands of strangers. Two correlations of thumbnails tell
copies from them: of the grey levels' ranks, which no monotone change of brightness or contrast alters, and of the
details, which are what differs most between two patients.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata

SIDE = 32
"""Side of the thumbnails in pixels."""
CORRELATION, DETAIL_CORRELATION = 0.98, 0.97
"""Least correlation of two copies' ranks and details. Among 5,526 radiographs of four hospitals strangers reach 0.973
and 0.84, among 600 generated ones 0.993 and 0.968; copies of half the size or of JPEG quality 30 have 0.997 and 0.978
at least, those of gamma 0.7 to 1.4 have 0.998 and 0.983."""
_COARSE, _COARSE_CORRELATION = 16, 0.975
"""Side of the thumbnails that are all compared with each other, and their least correlation for a closer look."""
_NEIGHBOURHOOD = 5
"""Side in pixels of what is averaged and taken off each pixel, so that details remain."""
_BLOCK = 512

Thumbnails = npt.NDArray[np.uint8]
_Rows = npt.NDArray[np.float32]


class NearDuplicate(NamedTuple):
    """Two images that show the same picture."""

    first: int
    """Position of the image."""
    second: int
    """Position of the other one, which comes later."""
    correlation: float
    """Of the ranks of their thumbnails' grey levels."""


def thumbnail(radiograph: Image.Image) -> Thumbnails:
    """An image of mode ``L`` as ``uint8`` 32×32, each pixel the mean of what it covers."""
    return np.asarray(radiograph.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)


def near_duplicates(thumbnails: Thumbnails) -> list[NearDuplicate]:
    """All pairs of N×32×32 thumbnails that show the same picture. 25,000 images take seconds, 100,000 two minutes."""
    step = SIDE // _COARSE
    means = thumbnails.reshape(-1, _COARSE, step, _COARSE, step).mean(axis=(2, 4), dtype=np.float32)
    coarse = _ranks(means)
    pairs = []
    for start in range(0, len(coarse), _BLOCK):
        likely = coarse[start : start + _BLOCK] @ coarse[start:].T >= _COARSE_CORRELATION
        first, second = np.nonzero(np.triu(likely, 1))
        for part in range(0, len(first), _BLOCK):
            i, j = first[part : part + _BLOCK] + start, second[part : part + _BLOCK] + start
            correlation, detail = _compare(thumbnails[i], thumbnails[j])
            alike = np.flatnonzero((correlation >= CORRELATION) & (detail >= DETAIL_CORRELATION))
            pairs += [NearDuplicate(int(i[k]), int(j[k]), float(correlation[k])) for k in alike]
    return pairs


def lookalikes(thumbnails: Thumbnails, names: Sequence[str]) -> list[str]:
    """For each of N images the name of the first one that shows the same picture, or empty where no other one does."""
    # Thousands of copies of one file would be millions of pairs.
    pictures, first, picture_of = np.unique(thumbnails, axis=0, return_index=True, return_inverse=True)
    linked = DisjointSet(range(len(pictures)))
    for pair in near_duplicates(pictures):
        linked.merge(pair.first, pair.second)
    groups = {picture: min(first[list(group)]) for group in linked.subsets() for picture in group}
    leaders = [groups[picture] for picture in picture_of.tolist()]
    images = Counter(leaders)
    return [names[leader] if images[leader] > 1 else "" for leader in leaders]


def _compare(first: Thumbnails, second: Thumbnails) -> tuple[_Rows, _Rows]:
    """Correlations of N pairs of thumbnails: of their ranks, and of their details, by ranks or by grey levels."""
    ranks = _ranks(first), _ranks(second)
    details = [_details(first) * _details(second), _details(ranks[0]) * _details(ranks[1])]
    return (ranks[0] * ranks[1]).sum(axis=1), np.maximum(*(products.sum(axis=1) for products in details))


def _ranks(images: npt.NDArray[np.number]) -> _Rows:
    return _normalised(rankdata(images.reshape(len(images), -1), axis=1))


def _details(images: npt.NDArray[np.number]) -> _Rows:
    squares = images.reshape(-1, SIDE, SIDE).astype(np.float32)
    return _normalised(squares - uniform_filter(squares, (0, _NEIGHBOURHOOD, _NEIGHBOURHOOD), mode="nearest"))


def _normalised(images: npt.NDArray[np.floating]) -> _Rows:
    """Rows of mean zero and length one, so that a product of two is their correlation; zero for a blank image."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-6), dtype=np.float32)
