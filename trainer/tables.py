"""CSV files: tables with a header line, read and written."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel

from trainer.errors import UserError

ALIASES = {"source": "site"}
"""Former names of columns, each taken for its present name unless the table has a column of that name too."""


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV text, with Unix line ends."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([columns, *rows])
    return stream.getvalue()


def to_csv(rows: Iterable[BaseModel], model: type[BaseModel]) -> str:
    """Rows as CSV text: one column per field of ``model``, so that equal rows are equal bytes."""
    return csv_text(list(model.model_fields), [row.model_dump().values() for row in rows])


def read_table(path: Path, required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file with a header line: (line number, {column: cell}) of each row.

    Column names become lower case, and blanks around cells go. The separator (comma, semicolon or tab) is the one
    that the header has most of; a byte order mark and blank lines are skipped.

    Raises:
        UserError: can't be read, not UTF-8, not CSV, a required column is missing, a row has too many or
            too few cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save it as CSV UTF-8") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [cell.strip().lower() for cell in next(reader, [])]
        columns = [name if ALIASES.get(name) in columns else ALIASES.get(name, name) for name in columns]
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
    return [(line, dict(zip(columns, (cell.strip() for cell in row), strict=True))) for line, row in rows]
