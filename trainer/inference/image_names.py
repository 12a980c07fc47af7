"""Which images a command is asked about: files, folders, lists of names, and what fsspec opens."""

import codecs
import csv
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bento.imaging.errors import EmptyImageError, ImageError, UnknownFormatError
from bento.imaging.intake import is_dicom, open_image
from trainer.data.folder import LeftOut, Listing, files_under
from trainer.errors import UserError
from trainer.files import decode_text, find_path

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Source = Path | str
"""Where an image is: a path or, as text, a URL that fsspec opens, such as ``s3://bucket/image.png``."""
Note = Callable[[str], None]
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".dcm", ".dicom"}
"""Names of files in folders that are images even where their content is not; of other names the content decides."""
NO_IMAGE = "that are no JPEG, PNG or DICOM images"
NOT_NAMED = "whose names do not end like those of images (a list may name them)"
STANDARD_INPUT = "-"
LISTS = {".csv", ".parquet", ".txt"}
"""Endings of files that name images instead of being some."""
COLUMN = "file"
"""Column of the names in a list that is a table."""
NEEDS_EXTRA = "needs the extra `ray`: pip install 'chest-xray-service[ray]'"


def given_images(paths: Sequence[str], note: Note) -> list[Source]:
    """Files as given, the images in and below folders, those that lists name, and for ``-`` those of standard input.

    Args:
        paths: files, folders, lists (:data:`LISTS`), and URLs of any of them.
        note: is told of other files in the folders, which are left out.

    Raises:
        UserError: a path that does not exist, no image in a folder, or a list that can't be read.
    """
    images: list[Source] = []
    for given in paths:
        if given == STANDARD_INPUT:
            names = _names(sys.stdin.buffer.read(), "standard input")
            images += [name if is_remote(name) else find_path(Path(name)) for name in names]
        elif PurePosixPath(given).suffix.lower() in LISTS:
            images += listed_images(given)
        elif is_remote(given):
            images += _remote_images(given, note)
        else:
            path = find_path(Path(given))
            images += images_in(path, note) if path.is_dir() else [_existing(path)]
    return list(dict.fromkeys(images))


def source_of(name: str, folder: Path = Path()) -> Source:
    """Where an image of this name is; ``folder``: that of names which are relative."""
    return name if is_remote(name) else folder / name


def is_remote(name: str) -> bool:
    """Whether fsspec opens it."""
    return "://" in name


def images_in(folder: Path, note: Note) -> list[Path]:
    """The images of a folder, readable or not; ``note`` is told of other files.

    Raises:
        UserError: there is none.
    """
    files, left_out = files_under(folder)
    images = [file for file in files if _is_image(file)]
    if not images:
        raise UserError(f"{folder}: no JPEG, PNG or DICOM file in this folder")
    others = set(files) - set(images)
    left_out += [LeftOut(file.relative_to(folder).as_posix(), NO_IMAGE) for file in files if file in others]
    for line in Listing([], left_out).lines():
        note(f"{folder}: {line}")
    return images


def _is_image(file: Path) -> bool:
    """Whether its name or its first bytes say that a file is an image."""
    try:
        if file.suffix.lower() not in SUFFIXES and not is_dicom(file):
            open_image(file).close()
    except (UnknownFormatError, EmptyImageError):
        return False
    except (ImageError, OSError):
        pass  # an image that can't be read: its line says why
    return True


def listed_images(given: str) -> list[Source]:
    """The images that a list names, one a line or in a column :data:`COLUMN`; whether they exist is found out later.

    Raises:
        UserError: it can't be read, is not what its ending says, or names no image.
    """
    ending = PurePosixPath(given).suffix.lower()
    if is_remote(given):
        contents = [_fetch(given)]
    else:
        path = _existing(find_path(Path(given)))
        # A table of several files, as Spark writes one.
        parts = sorted(path.glob("[!._]*.parquet")) if ending == ".parquet" and path.is_dir() else [path]
        try:
            contents = [part.read_bytes() for part in parts]
        except OSError as error:
            raise UserError(f"{given}: can't be read ({error.strerror})") from error
    read = {".csv": _csv_names, ".parquet": _parquet_names, ".txt": _names}[ending]
    names = [name for content in contents for name in read(content, given)]
    if not names:
        raise UserError(f"{given}: names no file")
    return [source_of(name) for name in names]


def _names(content: bytes, given: str) -> list[str]:
    """File names, one per line or as ``find -print0`` writes them."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes a file
        content = content.decode("utf-16", "replace").encode("utf-8", "replace")
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    names = [os.fsdecode(line) for line in lines if line.strip()]
    if not names:
        raise UserError(f"{given}: names no file; it takes one file name a line")
    return names


def _csv_names(content: bytes, given: str) -> list[str]:
    rows = csv.reader(io.StringIO(decode_text(content, given), newline=""), strict=True)
    try:
        head = next(rows, [])
        if COLUMN not in head:
            raise _no_column(given, head)
        return [row[head.index(COLUMN)] for row in rows if row]
    except (csv.Error, IndexError) as error:
        raise UserError(f"{given} line {rows.line_num}: not a CSV file of as many cells as its first line") from error


def _parquet_names(content: bytes, given: str) -> list[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"{given}: a Parquet file {NEEDS_EXTRA}") from error
    try:
        with parquet.ParquetFile(pyarrow.BufferReader(content)) as file:
            if COLUMN not in file.schema_arrow.names:
                raise _no_column(given, file.schema_arrow.names)
            column = file.read([COLUMN]).column(0).cast(pyarrow.string())
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{given}: no Parquet file of names, or a damaged one") from error
    return [name for name in column.to_pylist() if name]


def _no_column(given: str, columns: Sequence[str]) -> UserError:
    return UserError(f"{given}: has no column {COLUMN!r} of names (columns: {', '.join(columns)[:80]})")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    return path


def _remote_images(url: str, note: Note) -> list[Source]:
    """The images below a remote folder by their names, since to look into each would fetch it; or the file itself."""
    try:
        system, root = file_system(url)
        if not system.isdir(root):
            if not system.exists(root):
                raise UserError(f"{url}: no such file or folder")
            return [url]
        names = sorted(system.find(root))
    except UserError:
        raise
    except Exception as error:  # whatever a file system's client raises
        raise UserError(f"{url}: can't be listed ({reason(error)})") from error
    images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not images:
        raise UserError(f"{url}: no file in this folder is named as JPEG, PNG or DICOM files are")
    kept = set(images)
    left_out = [LeftOut(name.removeprefix(root).strip("/"), NOT_NAMED) for name in names if name not in kept]
    for line in Listing([], left_out).lines():
        note(f"{url}: {line}")
    return [system.unstrip_protocol(name) for name in images]


def _fetch(url: str) -> bytes:
    try:
        return fetch(url)
    except ImageError as error:
        raise UserError(f"{url}: {error}") from error


def fetch(url: str) -> bytes:
    """The content of a remote file.

    Raises:
        ImageError: it can't be had.
        UserError: fsspec, or what it needs for such URLs, is not installed.
    """
    system, path = file_system(url)
    try:
        return bytes(system.cat_file(path))
    except Exception as error:  # whatever a file system's client raises
        raise ImageError(f"can't be fetched ({reason(error)})") from error


def file_system(url: str) -> "tuple[AbstractFileSystem, str]":
    """What opens a URL, and the URL's path in it.

    Raises:
        UserError: fsspec, or what it needs for such URLs, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UserError(f"{url}: a URL {NEEDS_EXTRA}") from error
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"{url}: can't be opened: {reason(error)}") from error
    return system, str(path)


def reason(error: BaseException) -> str:
    """An error in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
