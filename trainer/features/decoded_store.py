"""Decoded images, by the service's own intake: kept on disk as ``uint8`` and decoded once, or decoded each time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bento.cpu import available_cores
from bento.imaging.intake import DECODING, load_array
from bento.imaging.preprocessing import Preprocessing
from trainer.features.memmap import create_array, missing_anywhere, open_array, own_rows, release
from trainer.features.store import Store
from trainer.running.progress import task
from trainer.types import Array

CHUNK = 256


class Images(Protocol):
    """N images: ``len``, and ``uint8`` M×S×S for M row numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Any: ...


@dataclass(frozen=True)
class ImageFiles:
    """Files that are decoded each time their images are asked for; nothing is kept."""

    paths: Sequence[Path]
    spec: Preprocessing
    """The intake, as the service does it."""
    workers: int
    """Threads (Pillow decodes and resizes without Python's lock); 0: one per core."""

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers or available_cores())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Array:
        return np.stack(list(self._pool.map(lambda row: load_array(self.paths[row], self.spec), rows)))


def images_path(store: Store, files: ImageFiles, hashes: Sequence[str]) -> Path:
    """File of the decoded images."""
    return store.path("images", DECODING, files.spec.model_dump(), list(hashes))


def decoded_images(files: ImageFiles, hashes: Sequence[str], store: Store, title: str) -> Array:
    """All images as one memory-mapped ``uint8`` array N×S×S, decoded in parallel unless the store has them.

    Args:
        files: N image files and their intake.
        hashes: SHA-256 of each file.
        store: where the array is kept.
        title: what the images are, for the progress bar.

    Raises:
        ImageError: a file that the intake refuses; ``fetch`` has sorted those out before.
        UserError: the disk is full.
    """
    path = images_path(store, files, hashes)
    if missing_anywhere([path]):
        rows_here = np.array(own_rows(len(files)), dtype=np.int64)
        shape = (len(files), files.spec.image_size, files.spec.image_size)
        with task(f"decoding {title}", len(rows_here)) as advance, create_array(path, shape, "uint8") as array:
            for start in range(0, len(rows_here), CHUNK):
                rows = rows_here[start : start + CHUNK]
                array[rows] = files[rows]
                release(array)
                advance(len(rows))
    return open_array(path)
