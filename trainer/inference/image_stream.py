"""Many image files at once: decoded and judged in threads, answered in order."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bento.cpu import available_cores
from bento.imaging.errors import ImageError
from bento.imaging.intake import Intake, take_in
from bento.imaging.preprocessing import Preprocessing
from trainer.inference.image_names import Source, fetch

AHEAD = 16
"""Files per thread that may be begun before the first unfinished one, so that a large image stops no thread."""

F = TypeVar("F", bound=Source)
T = TypeVar("T")


def each_intake(
    files: Sequence[F], spec: Preprocessing, judge: Callable[[F, Intake], T], workers: int = 0
) -> Generator[tuple[F, T | ImageError]]:
    """What ``judge`` makes of each file and its image, or why the image can't be read, in the order of the files.

    Decoding and inference run in ``workers`` threads (0: one more than there are cores), both without Python's lock;
    memory does not grow with the number of files.
    """

    def result(file: F) -> T | ImageError:
        try:
            taken = take_in(file if isinstance(file, Path) else fetch(file), spec)
        except ImageError as error:
            return error
        except OSError as error:
            return ImageError(error.strerror or str(error))
        return judge(file, taken)

    # One more than the cores, as in the service: it fills the gaps in which a thread waits for Python's lock or a file.
    threads = workers or available_cores() + 1
    pending: deque[tuple[F, Future[T | ImageError]]] = deque()
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
