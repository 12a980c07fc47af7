"""Images that a model was trained or validated on are no test of it: a list in the artifact, by which they are told.

The list holds hashes alone: SHA-256 of the file, and :mod:`trainer.data.perceptual_hash` of the picture.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bento.artifact import SEEN_FILE, Manifest, sha256_file
from bento.cpu import available_cores
from bento.imaging.errors import ImageError
from bento.imaging.intake import read_radiograph
from trainer.data.duplicates import SIDE, thumbnail
from trainer.data.listing import Radiograph
from trainer.data.manifest import Record
from trainer.data.perceptual_hash import known_pictures, perceptual_hashes
from trainer.errors import UserError
from trainer.files import write_text
from trainer.running.documents import Document
from trainer.running.progress import task
from trainer.tables import csv_text, read_table

COLUMNS = ("sha256", "perceptual_hash")
Kind = Literal["same file", "same picture"]


class SeenImages(Document):
    """What was found of a model's own images among those that it was to be judged on."""

    checked: bool
    """False of a model that was sealed before artifacts had the list: nothing could be left out."""
    listed: int
    """Training and validation images of the model."""
    given: int
    """Images that it was to be judged on."""
    same_file: int = 0
    """Of them, those left out as files that the model has seen, whatever their names."""
    same_picture: int = 0
    """Those left out as other files of a picture that it has seen: encoded again, resized, brighter or darker."""
    emptied: list[str] = Field(default_factory=list)
    """Classes of which none was left."""
    paths: dict[str, Kind] = Field(default_factory=dict)
    """What each image that was left out is."""

    @property
    def left_out(self) -> int:
        """Number of images that were left out."""
        return self.same_file + self.same_picture

    @property
    def sentence(self) -> str:
        """What was found, for a terminal."""
        if not self.checked:
            return (
                "It can't be checked whether the model was trained on some of these images, since it has no list of "
                "its own images. Where it was, the figures are too good. Train and publish it again to get the list."
            )
        if not self.left_out:
            return f"None of these {self.given:,} images is among the {self.listed:,} that the model was made with."
        gone = f" No image of {' and '.join(self.emptied)} is left, so nothing is said of it." if self.emptied else ""
        return (
            f"{self.left_out:,} of the {self.given:,} images were left out, since the model was trained or validated "
            f"on them: {self.same_file:,} are the same files, {self.same_picture:,} the same pictures (encoded again, "
            f"resized or of another brightness). What follows is of the other {self.given - self.left_out:,}.{gone}"
        )

    @property
    def warning(self) -> str | None:
        """The sentence, where it must be known before any figure is believed."""
        return self.sentence if self.left_out or not self.checked else None


@dataclass(frozen=True)
class SeenList:
    """The hashes of N images."""

    files: frozenset[str]
    """SHA-256 of each one's file."""
    pictures: list[str]
    """Perceptual hash of each one's picture."""


def write_seen_images(records: Sequence[Record], data_dir: Path, sealed: Path) -> None:
    """List the training and validation images among a run's records beside its sealed model.

    Rows are in the order of the hashes, which tells nothing of patient, class or site.
    """
    records = [record for record in records if record.split in ("train", "val")]
    text = seen_list_text({record.sha256: data_dir / record.path for record in records})
    write_text(sealed / SEEN_FILE, text)


def seen_list_text(files: Mapping[str, Path]) -> str:
    """A list of images as CSV, from their files by SHA-256; the order of its rows is that of the hashes."""
    hashes = _hashes_of(list(files.values()))
    return csv_text(COLUMNS, sorted(zip(files, hashes, strict=True)))


def read_seen_images(folder: Path, manifest: Manifest, name: str = SEEN_FILE) -> SeenList | None:
    """The list of an artifact; None of one that has none.

    Args:
        folder: of the artifact, whose files have been checked by their hashes.
        manifest: of the artifact.
        name: of the list; that of a site's calibration images is ``SITE_IMAGES_FILE``.
    """
    if name not in manifest.files:
        return None
    rows = [row for _, row in read_table(folder / name, COLUMNS)]
    return SeenList(
        frozenset(row["sha256"] for row in rows),
        [row["perceptual_hash"] for row in rows if row["perceptual_hash"]],
    )


def leave_out_seen(radiographs: Sequence[Radiograph], seen: SeenList | None) -> tuple[list[Radiograph], SeenImages]:
    """The images that a model has not seen, and what was found of the others.

    Raises:
        UserError: the images left are of fewer than two classes, so that there is nothing to tell apart.
    """
    if seen is None:
        return list(radiographs), SeenImages(checked=False, listed=0, given=len(radiographs))
    paths = find_seen(radiographs, seen)
    kept = [radiograph for radiograph in radiographs if radiograph.path not in paths]
    classes, left = _classes(radiographs), _classes(kept)
    kinds = Counter(paths.values())
    found = SeenImages(
        checked=True,
        listed=len(seen.files),
        given=len(radiographs),
        same_file=kinds["same file"],
        same_picture=kinds["same picture"],
        emptied=sorted(classes - left),
        paths=dict(sorted(paths.items())),
    )
    if paths and len(left) < 2:
        rest = f"{len(kept):,} others are all {next(iter(left))}" if left else "none is left"
        raise UserError(
            f"the model was trained or validated on {len(paths):,} of these {len(radiographs):,} images, and {rest}: "
            "nothing to test it with; give images that it has not seen, of two classes or more"
        )
    return kept, found


def find_seen(radiographs: Sequence[Radiograph], seen: SeenList) -> dict[str, Kind]:
    """What each image that a model has seen is, by its path; others are not there."""
    paths: dict[str, Kind] = {
        radiograph.path: "same file" for radiograph in radiographs if _sha256(radiograph.file) in seen.files
    }
    others = [radiograph for radiograph in radiographs if radiograph.path not in paths]
    hashes = _hashes_of([radiograph.file for radiograph in others])
    readable = [(radiograph, picture) for radiograph, picture in zip(others, hashes, strict=True) if picture]
    if readable and seen.pictures:
        known = known_pictures([picture for _, picture in readable], seen.pictures)
        paths |= {readable[i][0].path: "same picture" for i in np.flatnonzero(known).tolist()}
    return paths


def _classes(radiographs: Iterable[Radiograph]) -> set[str]:
    return {radiograph.label for radiograph in radiographs}


def _sha256(file: Path) -> str:
    """SHA-256 of a file, or empty where it can't be read, as the evaluation will say."""
    try:
        return sha256_file(file)
    except OSError:
        return ""


def _hashes_of(files: Sequence[Path]) -> list[str]:
    """Perceptual hash of each file's picture; empty where it can't be read."""
    found = []
    with task("hashing images", len(files)) as advance, ThreadPoolExecutor(available_cores() + 1) as pool:
        for small in pool.map(_thumbnail, files):
            found.append(small)
            advance(1)
    readable = [small for small in found if small is not None]
    hashes = iter(perceptual_hashes(np.stack(readable)) if readable else [])
    return ["" if small is None else next(hashes) for small in found]


def _thumbnail(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    try:
        return thumbnail(read_radiograph(file, SIDE).radiograph)
    except (ImageError, OSError):
        return None
