"""The spool: images that wait to be judged and results that wait to be sent, as files for their owner alone."""

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

GB = 1_000_000_000
RESERVE = 4_000_000
"""Bytes that an image's results may take beside it."""


class SpoolError(Exception):
    """The folder can't be used; one line that says why."""


class Spool:
    """A folder of files and its limit.

    Args:
        folder: made where it is missing, for its owner alone.
        limit: bytes.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder, self._limit, self._used = folder, limit, 0
        self._lock = threading.Lock()
        self._held: IO[bytes] | None = None
        try:
            for path in (folder, folder / "images", folder / "results"):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise SpoolError(f"spool: {folder}: can't be used ({error.strerror}); name another folder") from error

    def hold(self) -> None:
        """Keep a second process out.

        Raises:
            SpoolError: there is one already.
        """
        self._held = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SpoolError(f"spool: {self.folder}: another process works on it; stop that one") from None

    def sweep(self, known: set[str]) -> None:
        """Delete files that no entry of the ledger tells of: a crash came between the two."""
        for path in (self.folder / "images").iterdir():
            if path.suffix != ".dcm" or path.stem not in known:
                path.unlink()
        for path in (self.folder / "results").iterdir():
            if path.name not in known:
                shutil.rmtree(path)

    def set_used(self, used: int) -> None:
        """Take the ledger's word for how much there is."""
        with self._lock:
            self._used = used

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return self._used

    def has_room(self, size: int = 0) -> bool:
        """Whether an image of so many bytes, and its results, would fit."""
        return self._used + size + RESERVE <= self._limit

    def put(self, image: str, data: bytes) -> None:
        """Write an image; after this it outlives a loss of power."""
        _write(self._image(image), data)
        with self._lock:
            self._used += len(data)

    def image(self, image: str) -> bytes:
        """The bytes of an image."""
        return self._image(image).read_bytes()

    def put_results(self, image: str, results: Sequence[bytes]) -> int:
        """Write an image's results in place of former ones; the bytes of all its files together."""
        folder = self.folder / "results" / image
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for number, data in enumerate(results):
            _write(folder / f"{number}.dcm", data)
        size = sum(map(len, results))
        with self._lock:
            self._used += size
        with contextlib.suppress(FileNotFoundError):
            size += self._image(image).stat().st_size
        return size

    def results(self, image: str) -> list[bytes]:
        """An image's results, the report first."""
        return [path.read_bytes() for path in sorted((self.folder / "results" / image).iterdir())]

    def has_image(self, image: str) -> bool:
        """Whether an image's file is there."""
        return self._image(image).is_file()

    def has_results(self, image: str) -> bool:
        """Whether an image's results are there."""
        return (self.folder / "results" / image).is_dir()

    def delete(self, image: str) -> None:
        """Delete all files of an image."""
        self._image(image).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "results" / image, ignore_errors=True)

    def _image(self, image: str) -> Path:
        return self.folder / "images" / f"{image}.dcm"


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:  # noqa: PTH123
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
