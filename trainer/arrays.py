"""Memory-mapped arrays on disk that are either whole or not there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import UserError

Array = npt.NDArray[Any]


@contextmanager
def create_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[Array]:
    """A new ``.npy`` file to fill; it gets its name only when the block ends without an error.

    Raises:
        UserError: the disk is full. Space is reserved first, because a memory map on a full disk ends the
            process by SIGBUS, without a word.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate"):
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            need = int(np.prod(shape)) * np.dtype(dtype).itemsize / 1e9
            raise UserError(
                f"{path.parent}: no space left for {need:.2f} GB of cache; free some, give another --data-dir, "
                "or fewer --views"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def open_array(path: Path) -> Array:
    """An array written by :func:`create_array`, memory-mapped, read-only."""
    array: Array = np.load(path, mmap_mode="r")
    return array
