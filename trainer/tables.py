"""CSV files: tables with a header line, read and written."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from trainer.errors import UserError
from trainer.files import read_text

ALIASES = {"source": "site"}
"""Former names of columns, each taken for its present name unless the table has a column of that name too."""
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])\r?\n", re.IGNORECASE)
"""First line by which Excel is told the separator."""


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV text, with Unix line ends."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    return stream.getvalue()


def to_csv(rows: Iterable[BaseModel], model: type[BaseModel]) -> str:
    """Rows as CSV text: one column per field of ``model``, so that equal rows are equal bytes."""
    return csv_text(list(model.model_fields), [row.model_dump().values() for row in rows])


def former_names(columns: list[str]) -> list[str]:
    """Column names with :data:`ALIASES` replaced."""
    return [name if ALIASES.get(name) in columns else ALIASES.get(name, name) for name in columns]


def read_table(
    path: Path,
    required: tuple[str, ...],
    rename: Callable[[list[str]], list[str]] = former_names,
    strip: bool = True,
) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file with a header line: (line number, {column: cell}) of each row.

    Column names become lower case. The separator (comma, semicolon or tab) is the one
    that the header has most of; blank lines are skipped. The text may be UTF-8 or, with a byte order mark, UTF-16.

    Args:
        path: of the file.
        required: columns that the table must have once each.
        rename: gives the columns the names that they are known by here.
        strip: take off blanks around cells, as people write them; not in tables of our own, where they belong to names.

    Raises:
        UserError: can't be read, no such text, not CSV, a required column is missing, a row has too many or
            too few cells.
    """
    text = read_text(path)
    told = _SEPARATOR_LINE.match(text)
    text = "\n" + text[told.end() :] if told else text
    delimiter = told[1] if told else max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = rename([cell.strip().lower() for cell in next(filter(None, reader), [])])
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num}: not a CSV file ({error})") from error
    for name in required:
        if columns.count(name) != 1:
            header = ", ".join(columns) or "nothing"
            raise UserError(f"{path}: needs exactly one column {name!r} in its first line, which has: {header}")
    for line, row in rows:
        if len(row) != len(columns):
            raise UserError(f"{path} line {line}: {len(row)} cells, but the first line has {len(columns)}")
    return [
        (line, dict(zip(columns, (cell.strip() if strip else cell for cell in row), strict=True))) for line, row in rows
    ]
