"""Files that are written whole or not at all."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from trainer.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name and rename it: the file is never half-written."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
