"""Many images at once: decoded and judged in threads, answered one after the other."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bento.cpu import available_cores
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake, take_in
from bento.imaging.preprocessing import Preprocessing

AHEAD = 16
"""Files a thread may be ahead of the first one that is not finished: one large image stops no thread."""

T = TypeVar("T")


def each_image(
    files: Sequence[Path], spec: Preprocessing, judge: Callable[[npt.NDArray[np.uint8]], T], workers: int = 0
) -> Iterator[tuple[Path, T | ImageError]]:
    """What ``judge`` makes of each file's ``uint8`` image S×S; see :func:`each_intake`."""
    return each_intake(files, spec, lambda _, taken: judge(taken.image), workers)


def each_intake(
    files: Sequence[Path], spec: Preprocessing, judge: Callable[[Path, Intake], T], workers: int = 0
) -> Generator[tuple[Path, T | ImageError]]:
    """What ``judge`` makes of each file's image and image, or why it can't be read, in the order given.

    Decoding and inference run in threads, both without Python's lock; memory does not grow with the number of files.
    """

    def result(file: Path) -> T | ImageError:
        try:
            taken = take_in(file, spec)
        except ImageError as error:
            return error
        except OSError as error:
            return ImageError(error.strerror or str(error))
        return judge(file, taken)

    # One more than the cores, as in the service: it fills the gaps in which a thread waits for Python's lock or a file.
    threads = workers or available_cores() + 1
    pending: deque[tuple[Path, Future[T | ImageError]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for file in files:
            pending.append((file, pool.submit(result, file)))
            if len(pending) >= AHEAD * threads:
                first, future = pending.popleft()
                yield first, future.result()
        for first, future in pending:
            yield first, future.result()
    finally:
        # Whoever stops early, by Ctrl-C or an error, does not wait for what nobody will read.
        pool.shutdown(cancel_futures=True)
