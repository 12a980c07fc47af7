"""Decoded images: kept on disk as ``uint8`` and decoded once, or decoded anew each time; by the service's own intake."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bento.cpu import available_cores
from bento.imaging.intake import load_array
from bento.imaging.preprocessing import Preprocessing
from trainer.features.memmap import create_array, missing_anywhere, open_array, own_rows, release
from trainer.types import Array

CHUNK = 256


class Images(Protocol):
    """N images: ``len``, and ``uint8`` M×S×S for M row numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Any: ...


class FilesAsImages:
    """Images that are decoded each time they are asked for; nothing is kept."""

    def __init__(self, paths: Sequence[Path], spec: Preprocessing, workers: int) -> None:
        """``workers``: threads (Pillow decodes and resizes without Python's lock); 0: one a core."""
        self._paths, self._spec = paths, spec
        self._pool = ThreadPoolExecutor(workers or available_cores())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Array:
        return np.stack(list(self._pool.map(lambda row: load_array(self._paths[row], self._spec), rows)))


def images_path(hashes: Sequence[str], spec: Preprocessing, cache: Path) -> Path:
    """File of the decoded store for these images and this intake."""
    key = hashlib.sha256(json.dumps([spec.model_dump(), list(hashes)]).encode()).hexdigest()[:16]
    return cache / f"images-{key}.npy"


def decoded_images(
    paths: Sequence[Path], hashes: Sequence[str], spec: Preprocessing, cache: Path, workers: int, title: str
) -> Array:
    """All images as one memory-mapped ``uint8`` array N×S×S, decoded in parallel unless the store has them.

    Args:
        paths: image files.
        hashes: SHA-256 of each file; with ``spec`` they are the store's key.
        spec: intake, as the service will do it.
        cache: folder of the store.
        workers: threads; 0: one a core.
        title: label of the progress bar.

    Raises:
        ImageError: a file that the intake refuses; ``fetch`` has sorted those out before.
        UserError: the disk is full.
    """
    path = images_path(hashes, spec, cache)
    if missing_anywhere([path]):
        source = FilesAsImages(paths, spec, workers)
        shape = (len(paths), spec.image_size, spec.image_size)
        own = np.array(own_rows(len(paths)), dtype=np.int64)
        bar = tqdm(total=len(own), desc=f"decode {title}", leave=False, disable=idist.get_rank() > 0)
        with create_array(path, shape, "uint8") as array, bar:
            for start in range(0, len(own), CHUNK):
                rows = own[start : start + CHUNK]
                array[rows] = source[rows]
                release(array)
                bar.update(len(rows))
    return open_array(path)
