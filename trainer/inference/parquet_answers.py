"""Answers as a folder of Parquet files, which a command adds to whole file by whole file, and goes on with."""

import contextlib
import fcntl
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, parquet

from bento.artifact import ONNX_FILE, Manifest
from bento.imaging.errors import ImageError
from trainer.errors import UserError
from trainer.files import write_bytes, write_text
from trainer.inference.judge import Answer
from trainer.inference.output_formats import Columns
from trainer.tables import csv_text

SUFFIX = ".parquet"
FAILED = "_failed.csv"
"""File in the folder that lists the images which can't be read; readers of Parquet folders pass names with ``_`` by."""
LOCK = ".lock"
PART_ROWS = 50_000
"""Rows of a file at most."""
PART_SECONDS = 30.0
"""After so long a file is written with fewer rows: what a killed command loses."""


def shown_name(name: str) -> str:
    """A file's name as Parquet's text can hold it: bytes that are not UTF-8 become escapes like ``\\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


class ParquetRows:
    """Rows of a model's answers: the columns of CSV with their types, and the hash of the model's graph."""

    def __init__(self, manifest: Manifest) -> None:
        self._columns = Columns(manifest)
        kinds = dict.fromkeys(self._columns.flags, pa.bool_()) | dict.fromkeys(manifest.classes, pa.float64())
        kinds["novelty"] = pa.float64()
        fields = [pa.field(name, kinds.get(name, pa.string())) for name in self._columns.names]
        self.model_version, self._sha256 = manifest.model_version, manifest.files[ONNX_FILE]
        about = {"model_version": self.model_version, "model_sha256": self._sha256}
        self.schema = pa.schema([*fields, pa.field("model_sha256", pa.string())], metadata=about)

    def table(self, results: Iterable[tuple[str, Answer | ImageError]]) -> pa.Table:
        """A row for each file and what the model says of it, or why it can't be read."""
        rows = [
            self._columns.cells(shown_name(file), result) | {"model_sha256": self._sha256} for file, result in results
        ]
        return pa.Table.from_pylist(rows, schema=self.schema)


class AnswerFolder:
    """An open folder of answers; only one command at a time has it."""

    def __init__(self, path: Path, rows: ParquetRows, names: Collection[str]) -> None:
        self._path, self._rows = path, rows
        self._waiting: list[pa.Table] = []
        self._one_by_one: list[tuple[str, Answer | ImageError]] = []
        self._count, self._since = 0, time.monotonic()
        parts = _parts(path)
        self._next = 1 + max((int(part.stem.removeprefix("part-")) for part in parts), default=-1)
        wanted = {shown_name(name): name for name in names}
        self.known: dict[str, bool] = {}
        """For each of ``names`` that has a row already, whether it could not be read."""
        for part in parts:
            for file, error in _checked(part, path, rows):
                if file in wanted:
                    self.known[wanted[file]] = error is not None

    def write(self, file: str, result: Answer | ImageError) -> None:
        """Add a row; it is on the disk at the latest when the folder is closed."""
        self._one_by_one.append((file, result))
        self._added(1)

    def add(self, rows: pa.Table) -> None:
        """Add rows of :meth:`ParquetRows.table`; see :meth:`write`."""
        self._waiting.append(rows)
        self._added(rows.num_rows)

    def _added(self, count: int) -> None:
        self._count += count
        if self._count >= PART_ROWS or time.monotonic() - self._since > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as one further file, whole or not at all."""
        if self._count:
            table = pa.concat_tables([*self._waiting, self._rows.table(self._one_by_one)])
            buffer = pa.BufferOutputStream()
            parquet.write_table(table.cast(self._rows.schema).combine_chunks(), buffer, compression="zstd")
            write_bytes(self._path / f"part-{self._next:06d}{SUFFIX}", buffer.getvalue().to_pybytes())
            self._next += 1
            self._waiting.clear()
            self._one_by_one.clear()
        self._count, self._since = 0, time.monotonic()

    def close(self) -> None:
        """Write what waits, and the list of all images that can't be read."""
        self.flush()
        failed: list[tuple[str, str]] = []
        for part in _parts(self._path):
            rows = parquet.read_table(part, columns=["file", "error"])
            rows = rows.filter(compute.is_valid(rows["error"]))
            failed += zip(rows["file"].to_pylist(), rows["error"].to_pylist(), strict=True)
        write_text(self._path / FAILED, csv_text(["file", "error"], failed))


@contextmanager
def answer_folder(path: Path, manifest: Manifest, names: Collection[str]) -> Iterator[AnswerFolder]:
    """Open a folder of answers to go on with it, or create it; what is added is kept whatever ends the command.

    Args:
        path: of the folder.
        manifest: of the model.
        names: the images that are asked about.

    Raises:
        UserError: it holds other things, answers of another model or with other columns, or another command has it.
    """
    if path.exists() and not path.is_dir():
        raise _other(path, "a file; Parquet answers are a folder")
    path.mkdir(parents=True, exist_ok=True)
    if strangers := sorted(file.name for file in path.iterdir() if not file.name.startswith(("part-", "_", "."))):
        raise _other(path, f"has other files, e.g. {strangers[0]}")
    with (path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"--out {path}: another command is writing into it; wait for its end") from error
        for half in path.glob(".part-*.tmp"):  # of a killed command
            half.unlink()
        folder = AnswerFolder(path, ParquetRows(manifest), names)
        try:
            yield folder
        except BaseException:
            # The first reason is the one to tell; a full disk, say, would only be met again.
            with contextlib.suppress(OSError):
                folder.close()
            raise
        folder.close()


def _parts(path: Path) -> list[Path]:
    return sorted(path.glob(f"part-*{SUFFIX}"))


def _checked(part: Path, path: Path, rows: ParquetRows) -> Iterator[tuple[str, str | None]]:
    """The names and errors of a file of rows.

    Raises:
        UserError: it holds other things, or answers of another model.
    """
    try:
        int(part.stem.removeprefix("part-"))
        with parquet.ParquetFile(part) as file:
            schema = file.schema_arrow
            about = schema.metadata or {}
            version = about.get(b"model_version", b"").decode()
            if version and version != rows.model_version:
                raise _other(path, f"made by the model version {version}, not {rows.model_version}")
            if not schema.equals(rows.schema):
                raise _other(path, f"{part.name} has other columns than this model's answers")
            if about.get(b"model_sha256") != rows.schema.metadata[b"model_sha256"]:
                raise _other(path, f"made by another model than this one of the version {version}")
            table = file.read(["file", "error"])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _other(path, f"{part.name} is no file of answers, or damaged") from error
    return zip(table["file"].to_pylist(), table["error"].to_pylist(), strict=True)


def _other(path: Path, what: str) -> UserError:
    return UserError(f"--out {path}: {what}; give another folder, or remove this one")
