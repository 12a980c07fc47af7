"""Formats of what ``predict`` writes about each file (table, CSV, JSON lines), and the file that it goes on with."""

import codecs
import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from bento.artifact import Manifest
from bento.imaging.errors import ImageError
from trainer.errors import UserError
from trainer.inference.judge import Answer

ERRORS = "file-names"
"""Name of the error handler of output: file names that are not UTF-8 become the bytes that they came as, and characters
that the encoding lacks are escaped."""
ENDS = ("novelty", "input_warnings", "model_version")
"""Last columns of CSV; input warnings by their kinds, separated by spaces."""


def _encode(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return b"".join(map(_encode_character, text)), error.end


def _encode_character(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return character.encode("utf-8", "surrogateescape")
    return character.encode("ascii", "backslashreplace")


codecs.register_error(ERRORS, _encode)


@dataclass(frozen=True)
class Known:
    """A line that an earlier call has written."""

    file: str
    model_version: str
    failed: bool


class Table:
    """A table to read on the terminal: a line per file."""

    def __init__(self, manifest: Manifest, files: Sequence[str]) -> None:
        self._classes = manifest.classes
        self._width = max(len(file) for file in files)
        heads = "".join(f"  {name:>12}" for name in self._classes)
        self.head = f"{'file':{self._width}}  {'label':14}{heads}  flagged, !doubted\n"

    def line(self, file: str, result: Answer | ImageError) -> str:
        """A file's row; its text where it can't be read."""
        start = f"{file:{self._width}}  "
        if isinstance(result, ImageError):
            return f"{start}{result}\n"
        cells = "".join(f"  {result.scores[name]:12.4f}" for name in self._classes)
        notes = [flag.label for flag in result.response.flags if flag.flagged]
        notes += [f"!{warning.kind}" for warning in result.response.input_warnings]
        return f"{start}{result.response.predictions[0].label:14}{cells}  {', '.join(notes)}".rstrip() + "\n"


class Columns:
    """Columns of CSV and Parquet: ``file,error,label``, a flag per threshold, a probability per class, :data:`ENDS`."""

    def __init__(self, manifest: Manifest) -> None:
        self.flags = [f"flagged_{point.label}" for point in manifest.thresholds]
        self.names = ["file", "error", "label", *self.flags, *manifest.classes, *ENDS]
        self._version = manifest.model_version

    def cells(self, file: str, result: Answer | ImageError) -> dict[str, Any]:
        """A file's cells; ``error`` is the service's problem slug and the text, absent where all is well."""
        cells: dict[str, Any] = {"file": file, "model_version": self._version}
        if isinstance(result, ImageError):
            return {**cells, "error": f"{result.slug}: {result}"}
        response = result.response
        flags = {f"flagged_{flag.label}": flag.flagged for flag in response.flags}
        cells |= {"label": response.predictions[0].label, **flags, **result.scores}
        if response.novelty:
            cells["novelty"] = response.novelty.score
        cells["input_warnings"] = " ".join(warning.kind for warning in response.input_warnings)
        return cells


class Csv:
    """CSV of :class:`Columns`; a cell that there is nothing for is empty."""

    def __init__(self, manifest: Manifest) -> None:
        self._columns = Columns(manifest)
        names = self._columns.names
        self.head = self.begin = self._row(dict(zip(names, names, strict=True)))

    def line(self, file: str, result: Answer | ImageError) -> str:
        """A file's row."""
        cells = self._columns.cells(file, result)
        return self._row({name: str(cell).lower() if isinstance(cell, bool) else cell for name, cell in cells.items()})

    def _row(self, cells: dict[str, Any]) -> str:
        stream = io.StringIO()
        csv.DictWriter(stream, self._columns.names, lineterminator="\n").writerow(cells)
        return stream.getvalue()

    def is_whole(self, text: str) -> bool:
        """Whether a row ends with ``text``: a file's name may hold a line end, within quotes."""
        return text.endswith("\n") and text.count('"') % 2 == 0

    def read(self, text: str) -> Known:
        """Read a line that :meth:`line` has written.

        Raises:
            ValueError: it is another row.
        """
        (row,) = csv.reader(io.StringIO(text, newline=""), strict=True)
        cells = dict(zip(self._columns.names, row, strict=True))
        return Known(cells["file"], cells["model_version"], bool(cells["error"]))


class JsonLines:
    """JSON lines: per file an object with ``file`` and the service's answer to ``/predict``, or with ``error``."""

    head = ""
    begin = '{"file": '

    def __init__(self, manifest: Manifest) -> None:
        self._model = {"model_name": manifest.model_name, "model_version": manifest.model_version}

    def line(self, file: str, result: Answer | ImageError) -> str:
        """A file's object; ``error`` holds the service's problem slug and the text."""
        if isinstance(result, ImageError):
            about = {"error": {"slug": result.slug, "detail": str(result)}, **self._model}
        else:
            about = result.response.model_dump(mode="json")
        return json.dumps({"file": file, **about}) + "\n"

    def is_whole(self, text: str) -> bool:
        """Whether an object ends with ``text``."""
        return text.endswith("\n")

    def read(self, text: str) -> Known:
        """Read a line that :meth:`line` has written.

        Raises:
            ValueError: it is something else.
        """
        value = json.loads(text)
        try:
            return Known(str(value["file"]), str(value["model_version"]), "error" in value)
        except (KeyError, TypeError) as error:
            raise ValueError("no answer of predict") from error


Kept = Csv | JsonLines
KEPT: dict[str, type[Csv] | type[JsonLines]] = {"csv": Csv, "json": JsonLines}
"""Formats that a file of answers may have, by the values of ``--format``."""


@contextmanager
def answer_file(path: Path, form: Kept, version: str) -> Iterator[tuple[TextIO, dict[str, bool]]]:
    """Open a file of answers to go on with it, or create it.

    A killed run can leave half a line at the end, which is cut off; whole lines are never touched.

    Yields:
        The stream for further lines; and for each file that has a line, whether the file could not be read.

    Raises:
        UserError: it is not a file of such answers, or of another model's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        known, size = _read(stream, path, form, version)
        stream.truncate(size)
        with io.TextIOWrapper(stream, encoding="utf-8", errors=ERRORS, newline="") as text:
            if size == 0:
                text.write(form.head)
                text.flush()
            yield text, known


def _read(stream: BinaryIO, path: Path, form: Kept, version: str) -> tuple[dict[str, bool], int]:
    """For each file that has a line, whether it could not be read; and the number of bytes of whole lines."""
    known: dict[str, bool] = {}
    size, head, text = 0, form.head, ""
    stream.seek(0, os.SEEK_SET)
    for raw in stream:
        text += raw.decode("utf-8", "surrogateescape")
        if not form.is_whole(text):
            continue
        if head:
            if text != head:
                raise _other(path, "its first line is not the one that this command writes")
            head = ""
        else:
            line = _line(path, form, text)
            if line.model_version != version:
                raise _other(path, f"made by the model version {line.model_version}, not {version}")
            known[line.file] = line.failed
        size += len(text.encode("utf-8", ERRORS))
        text = ""
    if size == 0 and not form.begin.startswith(text[: len(form.begin)]):
        raise _other(path, "no answers of predict")
    return known, size


def _line(path: Path, form: Kept, text: str) -> Known:
    try:
        return form.read(text)
    except (ValueError, csv.Error) as error:
        raise _other(path, f"the line {text.strip()[:60]!r} is no answer of this form") from error


def _other(path: Path, what: str) -> UserError:
    return UserError(f"--out {path}: {what}; give another file, or remove this one")
