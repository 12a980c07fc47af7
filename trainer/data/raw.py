"""``data/raw``: the images of the datasets in class folders, with everything known about them beside.

``raw/manifest.csv`` has a row per image; see also :mod:`trainer.data.fetch_report`.
Images are hard links where the file system allows, else copies; never symbolic links, whose targets can vanish.
DICOM files become 8-bit PNG files of the pixels that the service sees in them, for tools that know no DICOM
(torchvision's ImageFolder), and without the header, so that no patient's name gets into the data folder.
"""

import contextlib
import functools
import hashlib
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict
from tqdm.contrib.concurrent import thread_map

from bento.artifact import sha256_file
from bento.imaging.errors import ImageError
from bento.imaging.intake import read_radiograph
from trainer.data.duplicates import SIDE, Thumbnails, lookalikes, thumbnail
from trainer.data.fetch_report import RAW, REPORT_FILE, FetchReport, licences
from trainer.data.file_properties import FILE, FileProperties, file_properties
from trainer.data.folder import Radiograph
from trainer.data.housekeeping import is_name, shown
from trainer.data.manifest import MANIFEST_FILE
from trainer.errors import UserError
from trainer.files import named_errors, write_text
from trainer.tables import read_table, to_csv

_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",)}
"""Suffixes that ImageFolder knows formats by; a file with no known suffix gets the first one appended. Images of other
formats become PNG files."""
_LONGEST = 255
"""Bytes that a file's name may have."""
_BAR: dict[str, Any] = {
    "desc": "checking images", "unit": "radiograph", "leave": False, "disable": None,
    "max_workers": os.cpu_count() or 1,
}  # fmt: skip
_CONVERTED = ".converted"
"""Folder beside ``raw`` while it is built: DICOM files as PNG files."""


class RawRecord(BaseModel):
    """One image of ``raw``: a row of ``raw/manifest.csv``."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Relative to the data folder."""
    label: str
    site: str
    patient: str
    """As the dataset's manifest names it; empty where it does not: ``split`` then looks at ``original``."""
    split: str
    """The dataset's own split, or empty."""
    sha256: str
    original: str
    """Path in the dataset as it was fetched; after the dataset's name where there are several."""
    dataset: str = ""
    """Name of the dataset; empty where an earlier version fetched it."""
    view: str = ""
    """``PA`` or ``AP`` where the dataset says so; all views are frontal."""
    lookalike: str = ""
    """``original`` of the first image that shows the same picture; empty where no other image does."""


def read_raw(data_dir: Path) -> list[RawRecord]:
    """The images that ``fetch`` brought, in the order of their original paths.

    Raises:
        UserError: ``fetch`` has not run.
    """
    if not (data_dir / RAW / REPORT_FILE).exists():
        raise UserError(f"{data_dir}: holds no dataset; run `python -m trainer fetch` first")
    path = data_dir / RAW / MANIFEST_FILE
    required = tuple(name for name, field in RawRecord.model_fields.items() if field.is_required())
    table = read_table(path, required=required, strip=False)
    records = [RawRecord.model_validate(row) for _, row in table]
    if table and "lookalike" not in table[0][1]:  # as earlier versions fetched it
        # An image that is gone or damaged is for fetch to bring again; a folder that is only read stays as it is.
        with contextlib.suppress(OSError, ImageError):
            thumbnails = thread_map(_thumbnail, [data_dir / record.path for record in records], **_BAR)
            records = _with_lookalikes(records, thumbnails)
            write_text(path, to_csv(records, RawRecord))
    return records


def build_raw(raw: Path, radiographs: list[Radiograph], workers: int, report: FetchReport) -> FetchReport:
    """Check the images and make a complete ``raw`` in a staging folder."""
    # Threads: Pillow and hashlib let go of the interpreter's lock, and no process is left behind by kill -9.
    converted = raw.with_name(_CONVERTED)
    converted.mkdir()
    checked = thread_map(
        functools.partial(_check, converted=converted),
        radiographs,
        **_BAR | {"max_workers": workers or _BAR["max_workers"]},
    )
    pairs = list(zip(radiographs, checked, strict=True))
    unreadable = {shown(radiograph.path): seen.error for radiograph, seen in pairs if seen.error}
    good = [(radiograph, seen) for radiograph, seen in pairs if not seen.error]
    classes = Counter(radiograph.label for radiograph, _ in good)
    for radiograph in radiographs:
        if radiograph.label not in classes:
            path = shown(radiograph.path)
            raise UserError(f"class {radiograph.label}: no readable image, e.g. {path}: {unreadable[path]}")
    names = _names([(radiograph, seen.suffix) for radiograph, seen in good])
    records = [
        RawRecord(
            path=f"{RAW}/{radiograph.label}/{name}", label=radiograph.label, site=radiograph.site,
            patient=radiograph.patient, split=radiograph.split, sha256=seen.sha256, original=radiograph.path,
            dataset=radiograph.dataset, view=radiograph.view,
        )
        for (radiograph, seen), name in zip(good, names, strict=True)
    ]  # fmt: skip
    records = _with_lookalikes(records, [seen.thumbnail for _, seen in good])
    disputed = _disputed(records)
    kept = [place for place, record in enumerate(records) if record.original not in disputed]
    good, records = [good[place] for place in kept], [records[place] for place in kept]
    classes = Counter(record.label for record in records)
    for label in sorted(classes):
        (raw / label).mkdir(parents=True)
    for (_, seen), record in zip(good, records, strict=True):
        link_or_copy(seen.file.resolve(), raw.parent / record.path)
    shutil.rmtree(converted)
    write_text(raw / MANIFEST_FILE, to_csv(records, RawRecord))
    files = [
        seen.properties.model_copy(update={"path": record.path})
        for (_, seen), record in zip(good, records, strict=True)
        if seen.properties
    ]
    write_text(raw / FILE, to_csv(files, FileProperties))
    taken = [radiograph for radiograph, _ in good]
    report = report.model_copy(update={
        "datasets": [
            dataset.model_copy(update={"licences": licences(taken, dataset.name)}) for dataset in report.datasets
        ],
        "images": len(records), "classes": dict(sorted(classes.items())), "unreadable": unreadable,
        "disputed": disputed,
        "input_warnings": {radiograph.path: seen.warnings for radiograph, seen in good if seen.warnings},
        **_duplicates(records),
    })  # fmt: skip
    write_text(raw / REPORT_FILE, report.model_dump_json(indent=2) + "\n")
    return report


class _Checked(NamedTuple):
    """What checking an image file has found."""

    file: Path
    """The file that goes into ``raw``."""
    thumbnail: Thumbnails
    suffix: str = ""
    """To append to the image's name."""
    sha256: str = ""
    error: str = ""
    """Why the image is left out, or empty."""
    warnings: tuple[str, ...] = ()
    properties: FileProperties | None = None
    """Of the file as the dataset has it."""


def _check(radiograph: Radiograph, converted: Path) -> _Checked:
    """Decode an image file as the service would; one of a format that ImageFolder does not know is saved as PNG."""
    file = radiograph.file
    blank = np.zeros((SIDE, SIDE), np.uint8)
    if not is_name(radiograph.path):
        return _Checked(file, blank, error="the file's name is not UTF-8 or has control characters")
    try:
        decoded = read_radiograph(file, SIDE)  # all of the file is read at any size
        sha256 = sha256_file(file)
        properties = file_properties(radiograph.path, file, decoded)
    except ImageError as error:
        return _Checked(file, blank, error=str(error))
    except OSError as error:
        return _Checked(file, blank, error=error.strerror or str(error))
    warnings = tuple(warning.text for warning in decoded.warnings)
    suffixes = _SUFFIXES.get(decoded.stored_format)
    known = file.suffix.lower() in sum(_SUFFIXES.values(), ())
    if suffixes is None:
        # A full disk ends it all here, and is no fault of this file.
        file, suffixes = converted / f"{hashlib.sha256(radiograph.path.encode()).hexdigest()}.png", _SUFFIXES["PNG"]
        with named_errors(file):
            Image.fromarray(np.asarray(decoded.radiograph)).save(file)
        sha256, known = sha256_file(file), known and radiograph.file.suffix.lower() == ".png"
    return _Checked(file, thumbnail(decoded.radiograph), "" if known else suffixes[0], sha256, "", warnings, properties)


def _thumbnail(file: Path) -> Thumbnails:
    return thumbnail(read_radiograph(file, SIDE).radiograph)


def _with_lookalikes(records: list[RawRecord], thumbnails: list[Thumbnails]) -> list[RawRecord]:
    groups = lookalikes(np.stack(thumbnails), [record.original for record in records])
    return [record.model_copy(update={"lookalike": name}) for record, name in zip(records, groups, strict=True)]


def _names(radiographs: list[tuple[Radiograph, str]]) -> list[str]:
    """File name of each image in ``raw``: its own, with a hash of its path where it is too long or not the only one."""
    plain = [(radiograph, PurePosixPath(radiograph.path).name + suffix) for radiograph, suffix in radiographs]
    taken = Counter((radiograph.label, name.casefold()) for radiograph, name in plain)
    names = []
    for radiograph, name in plain:
        if taken[radiograph.label, name.casefold()] > 1 or len(name.encode()) > _LONGEST:
            path = PurePosixPath(name)
            ending = f"-{hashlib.sha256(radiograph.path.encode()).hexdigest()[:8]}{path.suffix}"
            stem = path.stem.encode()[: _LONGEST - len(ending.encode())].decode(errors="ignore")
            name = stem + ending
        names.append(name)
    return names


def _pictures(records: Iterable[RawRecord]) -> list[list[RawRecord]]:
    """The images of each picture."""
    same: dict[str, list[RawRecord]] = defaultdict(list)
    for record in records:
        same[record.lookalike or record.sha256].append(record)
    return list(same.values())


def _disputed(records: Iterable[RawRecord]) -> dict[str, str]:
    """Images of a picture that two datasets give different classes, by path: what each dataset calls it."""
    disputed: dict[str, str] = {}
    for images in _pictures(records):
        if len({image.dataset for image in images}) > 1 and len({image.label for image in images}) > 1:
            said = ", ".join(f"{image.label} in {image.original}" for image in images)
            disputed |= {image.original: f"one picture in two classes: {said}" for image in images}
    return disputed


def _duplicates(records: Iterable[RawRecord]) -> dict[str, object]:
    """The fields ``duplicates``, ``lookalikes``, ``conflicts`` and ``shared`` of the report."""
    pictures = [images for images in _pictures(records) if len(images) > 1]
    shared = Counter(
        " and ".join(pair)
        for images in pictures
        for pair in combinations(sorted({image.dataset for image in images}), 2)
    )
    return {
        "duplicates": sum(len(images) - len({image.sha256 for image in images}) for images in pictures),
        "lookalikes": sum(map(len, pictures)),
        "conflicts": [
            [image.original for image in images] for images in pictures if len({image.label for image in images}) > 1
        ],
        "shared": dict(sorted(shared.items())),
    }


def link_or_copy(original: Path, target: Path) -> None:
    """Hard link where the file system allows it (same disk, own file), else a copy."""
    try:
        target.hardlink_to(original)
    except OSError:
        shutil.copyfile(original, target)
