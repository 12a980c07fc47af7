"""Memory-mapped arrays on disk that are either whole or not there."""

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import numpy.typing as npt

from trainer.errors import UserError
from trainer.types import Array


@contextmanager
def create_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Iterator[Array]:
    """A new ``.npy`` file to fill; it gets its name only when the block ends without an error.

    Under ``torchrun`` the processes of one host fill the same file, each its :func:`own_rows`.

    Raises:
        UserError: the disk is full. Space is reserved first, because a memory map on a full disk ends the
            process by SIGBUS, without a word.
    """
    leader = idist.get_local_rank() == 0
    # The processes of one host have one parent, torchrun's agent.
    owner = os.getppid() if idist.get_world_size() > 1 else os.getpid()
    temporary = path.with_name(f".{path.name}.{owner}.part")
    try:
        if leader:
            path.parent.mkdir(parents=True, exist_ok=True)
            _reserve(temporary, shape, dtype)
        idist.barrier()
        array = np.lib.format.open_memmap(temporary, mode="r+")
        yield array
        array.flush()
        idist.barrier()
        if leader:
            temporary.replace(path)
        idist.barrier()
    finally:
        if leader:
            temporary.unlink(missing_ok=True)


def _reserve(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    try:
        np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        need = int(np.prod(shape)) * np.dtype(dtype).itemsize / 1e9
        raise UserError(
            f"{path.parent}: no space left for {need:.2f} GB of cache; free some, give another --data-dir, "
            "fewer --views, or --cache off"
        ) from error


def open_array(path: Path) -> Array:
    """An array written by :func:`create_array`, memory-mapped, read-only."""
    array: Array = np.load(path, mmap_mode="r")
    os.utime(path)  # last used at this moment, for whoever has to make room
    return array


def release(array: Array) -> None:
    """Give a memory-mapped array's pages back, so that memory does not grow with what was read or written.

    The kernel keeps them in its page cache as long as it likes. Nothing happens to an array in memory.
    """
    mapping = mapping_of(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def mapping_of(array: Array) -> mmap.mmap | None:
    """The memory map that an array is a part of."""
    # Private: NumPy does not promise that the last base is the map. Without it, memory grows with what is read.
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def own_rows(rows: int) -> range:
    """This process's share of the rows that its host's processes fill together."""
    bounds = np.linspace(0, rows, idist.get_nproc_per_node() + 1).astype(int)
    rank = idist.get_local_rank()
    return range(bounds[rank], bounds[rank + 1])


def missing_anywhere(paths: list[Path]) -> bool:
    """Whether any host lacks any of the arrays, or has one that is cut off: then all of them make them, together."""
    missing = False
    for path in paths:
        try:
            np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError):
            missing = True
    return bool(idist.all_reduce(float(missing)))
