"""The files of an external folder: which may be images of a dataset, and which are left out, counted and said."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from trainer.data.housekeeping import is_annotation, is_housekeeping, shown
from trainer.data.patients import person

HOUSEKEEPING = "hidden, or of a drive, desktop or archive"
ANNOTATIONS = "in folders of masks or annotations"
NOT_FRONTAL = "that are no frontal views"
NO_FILE = "links to nothing, or no regular files"
FRONTAL = ("", "PA", "AP")
"""Views that are taken; the first one is frontal, and no more is known."""


@dataclass(frozen=True)
class Radiograph:
    """One image file of an external folder."""

    file: Path
    """Absolute."""
    path: str
    """Relative to the folder, with forward slashes: how reports print it."""
    label: str
    """Class, in upper case."""
    site: str = ""
    patient: str = ""
    """Empty where the dataset does not say; never empty from :func:`trainer.data.datasets.open_datasets`."""
    split: str = ""
    """``train``, ``val`` or ``test`` where the dataset says so, else empty."""
    view: str = ""
    """``PA`` or ``AP`` where the dataset says so."""
    licence: str = ""
    """Under which it may be used, or what is to be cited, where the dataset says so."""
    dataset: str = ""
    """Name of the dataset among those of a run."""
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What else the dataset's table says of the image, by column in lower case: age, sex, device, stratum, …"""

    @property
    def person(self) -> str:
        """See :func:`trainer.data.patients.person`."""
        return person(self.site, self.patient)


class LeftOut(NamedTuple):
    """A file or folder that is not taken for images."""

    path: str
    """Relative to the folder that was listed, with forward slashes."""
    reason: str
    """What the files are: it reads on after their number."""
    files: int = 1
    """How many they are."""


@dataclass(frozen=True)
class Listing:
    """The images of an external folder, and what in it is not taken for images."""

    radiographs: list[Radiograph]
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What else the user should know, in sentences."""
    layout: str = ""
    """The public set that the folder's layout was recognised as."""

    def lines(self) -> list[str]:
        """What is to be said aloud: the notes, and how many files are left out for each reason."""
        files, examples = Counter[str](), dict[str, str]()
        for item in self.left_out:
            files[item.reason] += item.files
            examples.setdefault(item.reason, shown(item.path))
        return self.notes + [f"{files[reason]:,} files {reason} left out, e.g. {examples[reason]}" for reason in files]


class FolderFiles(NamedTuple):
    """The files in and below a folder."""

    files: list[Path]
    left_out: list[LeftOut]


def files_under(folder: Path) -> FolderFiles:
    """All files in and below a folder that may be images, sorted by folder; links followed, each real folder once.

    Housekeeping and annotations (:mod:`trainer.data.housekeeping`) are left out and listed. A name or suffix decides
    nothing else: whether a file is an image is for its content to say.

    Raises:
        OSError: a folder can't be read.
    """
    files: list[Path] = []
    left_out: list[LeftOut] = []
    seen = set()

    def leave_out(path: Path, reason: str, count: int = 1) -> None:
        left_out.append(LeftOut(path.relative_to(folder).as_posix(), reason, count))

    for top, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(top)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        kept = []
        for name in sorted(folders):
            reason = why_left_out(name, folder=True)
            if reason:
                leave_out(Path(top, name), reason, count_files(Path(top, name)))
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            path = Path(top, name)
            if reason := why_left_out(name, folder=False):
                leave_out(path, reason)
            elif path.is_file():
                files.append(path)
            else:
                leave_out(path, NO_FILE)
    return FolderFiles(files, left_out)


def why_left_out(name: str, folder: bool) -> str:
    """Why a file or folder of this name is not taken for images; empty where it is."""
    if is_housekeeping(name, folder):
        return HOUSEKEEPING
    return ANNOTATIONS if folder and is_annotation(name) else ""


def count_files(folder: Path) -> int:
    """Number of files in and below a folder, links not followed."""
    return sum(len(names) for _, _, names in os.walk(folder))


def _raise(error: OSError) -> None:
    raise error
