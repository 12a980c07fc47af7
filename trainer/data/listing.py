"""List the images of an external folder: class folders, train/val/test layouts, or a manifest.csv.

No image is opened, copied or decoded here. ``fetch`` and ``evaluate --dataset`` share it.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.data.manifest import MANIFEST_FILE
from trainer.data.patients import check_pattern, patient_from_name
from trainer.errors import UserError
from trainer.tables import read_table

__all__ = ["SPLIT_NAMES", "Radiograph", "files_under", "list_folder", "open_dataset", "skipped_folders"]

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names of the official splits in folders and manifests, in lower case."""
_IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}


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
    """Empty where :func:`list_folder` finds none in the manifest; never empty from :func:`open_dataset`."""
    split: str = ""
    """``train``, ``val`` or ``test`` where the dataset says so, else empty."""


def open_dataset(path: str | Path, patient_pattern: str | None = None) -> list[Radiograph]:
    """List an external folder without copying it, each image with its patient.

    The patient comes from the manifest's column, the pattern, or a known file-name rule; else the image counts
    as a patient of its own, named by its path.

    Raises:
        UserError: see :func:`list_folder`; or the pattern finds no patient.
    """
    radiographs = list_folder(path)
    check_pattern(patient_pattern, [radiograph.path for radiograph in radiographs if not radiograph.patient])
    return [
        replace(
            radiograph,
            patient=radiograph.patient or patient_from_name(radiograph.path, patient_pattern) or radiograph.path,
        )
        for radiograph in radiographs
    ]


def list_folder(path: str | Path) -> list[Radiograph]:
    """List the images of a folder, sorted by path.

    ``manifest.csv`` with ``path,label`` (``site``, ``patient``, ``split`` if there; other columns are ignored)
    is used where there is one. Else each subfolder is a class, whatever the depth of its images; where the subfolders
    are official splits (``train/NORMAL/…``, perhaps in one folder more), the classes are inside those.

    Raises:
        UserError: no such folder, nothing in it, fewer than two classes, class names that differ in case only,
            or a manifest that can't be used.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise UserError(f"--dataset {path}: no such folder (give kaggle, sample or a folder)")
    if not root.is_dir():
        raise UserError(f"--dataset {path}: a file; give the folder that has one subfolder a class")
    root = root.resolve()
    try:
        radiographs = _from_manifest(root) if (root / MANIFEST_FILE).is_file() else _from_folders(root)
    except OSError as error:
        raise UserError(f"{error.filename or root}: can't be read ({error.strerror})") from error
    _check_classes(root, radiographs)
    return sorted(
        (replace(radiograph, label=radiograph.label.upper()) for radiograph in radiographs),
        key=lambda radiograph: radiograph.path,
    )


def skipped_folders(path: Path) -> list[str]:
    """Folders that lie beside ``train``, ``val`` and ``test`` in an official layout, whose images are not listed."""
    root = path.expanduser().resolve()
    if (root / MANIFEST_FILE).is_file():
        return []
    splits = _official_splits(root)
    top = next(iter(splits)).parent if splits else root
    return [folder.relative_to(root).as_posix() for folder in _subfolders(top) if splits and folder not in splits]


def _from_manifest(root: Path) -> list[Radiograph]:
    manifest = root / MANIFEST_FILE
    radiographs: dict[str, Radiograph] = {}
    missing = []
    for line, row in read_table(manifest, required=("path", "label")):
        where = f"{manifest} line {line}"
        path, label = row["path"].replace("\\", "/"), row["label"]
        parts = path.split("/")
        if not path or path.startswith("/") or ".." in parts or ":" in parts[0]:
            raise UserError(f"{where}: path {row['path']!r} does not lie inside the folder; give it relative to {root}")
        path = "/".join(part for part in parts if part not in ("", "."))
        if path in radiographs:
            raise UserError(f"{where}: {path} is listed twice")
        split = row.get("split", "").lower()
        if split and split not in SPLIT_NAMES:
            raise UserError(f"{where}: split {row['split']!r} is none of train, val and test")
        if not (root / path).is_file():
            missing.append(f"{where}: {path} does not exist")
        radiographs[path] = Radiograph(
            root / path,
            path,
            label,
            row.get("site", ""),
            row.get("patient", ""),
            SPLIT_NAMES.get(split, ""),
        )
    if missing:
        more = f" ({len(missing)} such rows)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}{more}; mend the manifest")
    if not radiographs:
        raise UserError(f"{manifest}: lists no image")
    return list(radiographs.values())


def _from_folders(root: Path) -> list[Radiograph]:
    splits = _official_splits(root) or {root: ""}
    return [
        Radiograph(file, file.relative_to(root).as_posix(), label=folder.name.strip(), split=split)
        for top, split in splits.items()
        for folder in _subfolders(top)
        for file in files_under(folder)
    ]


def _official_splits(root: Path) -> dict[Path, str]:
    """The folders train, val and test of an official layout, in ``root`` or at the end of single folders; or {}."""
    top = root
    while True:
        folders = _subfolders(top)
        splits = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
        if "train" in splits.values() or (splits and len(splits) == len(folders)):
            return splits
        if len(folders) != 1:
            return {}
        top = folders[0]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if _is_visible(entry.name) and entry.is_dir())


def files_under(folder: Path) -> Iterator[Path]:
    """All visible files under a folder, links followed, each real folder once."""
    seen = set()
    for top, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(top)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(filter(_is_visible, folders))
        yield from (file for name in sorted(names) if _is_visible(name) and (file := Path(top, name)).is_file())


def _raise(error: OSError) -> None:
    raise error


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _IGNORED


def _check_classes(root: Path, radiographs: list[Radiograph]) -> None:
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for radiograph in radiographs:
        if (
            not radiograph.label
            or radiograph.label.startswith(".")
            or "/" in radiograph.label
            or "\\" in radiograph.label
        ):
            raise UserError(
                f"{root}: {radiograph.path}: label {radiograph.label!r} can't be the name of a folder; rename the class"
            )
        if not radiograph.label.isprintable():
            raise UserError(
                f"{root}: {radiograph.path}: label {radiograph.label!r} has unprintable characters; rename the class"
            )
        spellings[radiograph.split, radiograph.label.upper()].add(radiograph.label)
    for names in spellings.values():
        if len(names) > 1:
            raise UserError(f"{root}: classes {' and '.join(sorted(names))} differ in case only; rename one")
    classes = sorted({label for _, label in spellings})
    if not classes:
        raise UserError(f"{root}: no image in it; it needs one subfolder a class, or a {MANIFEST_FILE}")
    if len(classes) < 2:
        raise UserError(
            f"{root}: only one class, {classes[0]}; a dataset needs two or more. If the classes are one folder deeper, give that folder"  # noqa: E501
        )
