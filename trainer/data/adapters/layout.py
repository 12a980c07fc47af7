"""What the adapters of public datasets share: a download's files and tables, and the classes of findings."""

import csv
import gzip
import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trainer.data.folder import FRONTAL, NOT_FRONTAL, LeftOut, Listing, Radiograph
from trainer.data.housekeeping import is_housekeeping
from trainer.errors import UserError

NORMAL, PNEUMONIA, TUBERCULOSIS = "NORMAL", "PNEUMONIA", "TUBERCULOSIS"

OTHER = "with other findings (not normal)"
SEVERAL = "with several findings"
UNCERTAIN = "with an uncertain label"
UNLABELLED = "without a label"
MISSING = "that the labels list, but that are not there"
UNLISTED = "that the labels do not list"

_DAMAGE = (
    AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, csv.Error, zipfile.BadZipFile,
)  # fmt: skip
"""What reading a damaged or cut-off table raises."""
_IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


class Row(NamedTuple):
    """One image as a dataset's own tables and names describe it."""

    path: str
    """Relative to the download, with forward slashes."""
    label: str = ""
    """One of our classes; empty where the image is left out."""
    reason: str = ""
    """Why it is left out."""
    patient: str = ""
    view: str = ""
    """``PA``, ``AP``, empty for a frontal view of which no more is known; anything else is no frontal view."""
    split: str = ""
    site: str = ""
    """Where it is not the layout's."""


class Download:
    """A downloaded folder: its files and tables, each looked up without asking the disk again."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder = folder
        self.title = title

    @cached_property
    def images(self) -> set[str]:
        """Paths of all files that may be images, by their suffix; links are followed, each real folder once."""
        found: set[str] = set()
        seen: set[tuple[int, int]] = set()
        for top, folders, names in os.walk(self.folder, followlinks=True):
            status = Path(top).stat()
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = [name for name in folders if not is_housekeeping(name, True)]
            place = os.path.relpath(top, self.folder).replace(os.sep, "/")
            start = "" if place == "." else f"{place}/"
            found.update(
                start + name for name in names if name.lower().endswith(_IMAGES) and not is_housekeeping(name, False)
            )
        return found

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Path of an image by its file's name without suffix."""
        return {PurePosixPath(path).stem: path for path in sorted(self.images, reverse=True)}

    def named(self, name: str) -> str:
        """Path of the image of this name, in whatever folder and format it was unpacked; the name where there is none.

        For sets in which a name is one image's alone.
        """
        stem = name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix).lower() in _IMAGES else name
        return self._by_name.get(stem, name)

    def find(self, *patterns: str) -> Path | None:
        """The first file that one of the patterns matches."""
        return next((path for pattern in patterns for path in sorted(self.folder.glob(pattern))), None)

    def table(self, pattern: str, *columns: str) -> Iterator[dict[str, str]]:
        """Rows of the CSV file that the pattern matches, packed with gzip or not.

        Raises:
            UserError: it is not there, or lacks one of the columns.
        """
        path = self.find(pattern, f"{pattern}.gz")
        if path is None:
            raise UserError(f"{self.folder}: looks like {self.title}, but has no {pattern}; put it there")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as packed:
            reader = csv.DictReader(io.TextIOWrapper(packed, "utf-8-sig", newline=""))
            lacking = [column for column in columns if column not in (reader.fieldnames or ())]
            if lacking:
                raise UserError(f"{path}: has no column {lacking[0]!r}; it is not the table of {self.title}")
            yield from reader

    def splits(self, lists: Mapping[str, str]) -> dict[str, str]:
        """Split of each image by its name, from lists of names (pattern of a file: split), where there are any."""
        found: dict[str, str] = {}
        for pattern, split in lists.items():
            if path := self.find(pattern):
                found |= dict.fromkeys(path.read_text(encoding="utf-8").split(), split)
        return found


def judge(findings: Iterable[str], classes: Mapping[str, str], signs: Mapping[str, frozenset[str]]) -> tuple[str, str]:
    """The class of an image with these findings, or the reason why it has none of ours: ``Row``'s label and reason.

    Args:
        findings: all that the image has.
        classes: our class of a finding.
        signs: by class, findings that belong to it and do not count as another one.
    """
    found = set(findings)
    if not found:
        return "", UNLABELLED
    ours = {classes[finding] for finding in found & classes.keys()}
    if not ours:
        return "", OTHER
    label = min(ours)
    if len(ours) > 1 or found - classes.keys() - signs.get(label, frozenset()):
        return "", SEVERAL
    return label, ""


@dataclass(frozen=True)
class Layout:
    """A public dataset: how its download is recognised and read."""

    site: str
    title: str
    marks: tuple[str, ...]
    """Patterns of files; one of them is in the download."""
    read: Callable[[Download], Iterator[Row]]
    licence: str
    """Under which it may be used, and what is to be cited."""
    note: str = ""
    """What must be known of its labels or images, in a sentence."""

    def fits(self, folder: Path) -> bool:
        """Whether a folder is a download of it."""
        return any(True for mark in self.marks for _ in folder.glob(mark))

    def listing(self, folder: Path, top: Path) -> Listing:
        """The images of a download, and what is left out of it and why.

        Args:
            folder: of the download.
            top: the folder that the user gave, which paths are relative to: ``folder`` or one above it.

        Raises:
            UserError: a table is missing or can't be used, or no image that it lists is there.
        """
        download = Download(folder, self.title)
        start = "" if folder == top else f"{folder.relative_to(top).as_posix()}/"
        radiographs: dict[str, Radiograph] = {}
        listed: set[str] = set()
        count, example = Counter[str](), dict[str, str]()
        for row in self._rows(download):
            listed.add(row.path)
            reason = row.reason if row.view in FRONTAL else NOT_FRONTAL
            if not reason and row.path not in download.images:
                reason = MISSING
            if reason:
                count[reason] += 1
                example.setdefault(reason, start + row.path)
                continue
            radiographs[row.path] = Radiograph(
                folder / row.path, start + row.path, row.label, row.site or self.site, row.patient, row.split,
                row.view, self.licence,
            )  # fmt: skip
        if not radiographs:
            why = ", ".join(f"{number:,} {reason}" for reason, number in count.items()) or "its tables list none"
            raise UserError(f"{folder}: looks like {self.title}, but no image can be used: {why}")
        if unlisted := download.images - listed:
            count[UNLISTED], example[UNLISTED] = len(unlisted), start + min(unlisted)
        left_out = [LeftOut(example[reason], reason, number) for reason, number in count.items()]
        return Listing(list(radiographs.values()), left_out, [self.note] if self.note else [], self.title)

    def _rows(self, download: Download) -> Iterator[Row]:
        """The adapter's rows; whatever a damaged table provokes in it is the table's fault."""
        try:
            yield from self.read(download)
        except _DAMAGE as error:
            why = f"one of its tables is damaged ({error!r}); download it again"
            raise UserError(f"{download.folder}: looks like {self.title}, but {why}") from error
