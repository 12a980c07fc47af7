"""Files that are written whole or not at all."""

import codecs
import contextlib
import errno
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""


def decode_text(content: bytes, name: str) -> str:
    """Decode a text that a user has made: UTF-8, or with a byte order mark UTF-16 or UTF-32, as PowerShell writes.

    Args:
        content: of the file.
        name: of the file, for the error.

    Raises:
        UserError: it is of another encoding.
    """
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    try:
        if not mark and b"\0" in content[:100]:
            raise UserError(f"{name}: has zero bytes: not text, or UTF-16 without its mark; save it as UTF-8")
        return content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: byte {error.start + len(mark)} is not {encoding.upper()}; save it as UTF-8: in Excel as "
            "'CSV UTF-8', in PowerShell with -Encoding utf8"
        ) from error


def read_text(path: Path) -> str:
    """Read a text file that a user has made; see :func:`decode_text`.

    Raises:
        UserError: it can't be read, or its encoding is another one.
    """
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name and rename it: the file is never half-written.

    Raises:
        OSError: with the file's name, also where the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with named_errors(path), temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let an error of the system name a file, as that of a full disk does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def check_writable(folder: Path) -> None:
    """Refuse a folder that can't be written to, or made, before the work whose result it is to hold.

    Raises:
        OSError: naming it.
    """
    exists = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not exists.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(exists))
    if not os.access(exists, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(exists))


def model_store() -> Path:
    """Folder of BentoML's stores."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON; see :func:`write_text`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """Read JSON that an earlier step has written.

    Raises:
        UserError: it is not there or damaged; ``made_by`` says which step makes it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or damaged; make it with python -m trainer {made_by}") from error


def find_path(path: Path) -> Path:
    """The path as it is stored, where it is given in another Unicode normalisation; ``path`` where there is none."""
    try:
        if path.exists() or path == path.parent:
            return path
        parent, wanted = find_path(path.parent), unicodedata.normalize("NFC", path.name)
        return next((entry for entry in parent.iterdir() if unicodedata.normalize("NFC", entry.name) == wanted), path)
    except OSError:
        return path
