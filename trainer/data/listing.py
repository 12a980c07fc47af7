"""List the images of an external folder: class folders, train/val/test layouts, or a manifest.csv.

No image is opened, copied or decoded here. What is left out is counted, so that it can be said.
:mod:`trainer.data.datasets` puts several folders together.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from trainer.data.adapters import read_download
from trainer.data.dataset_table import SPLIT_NAMES, read_dataset_table
from trainer.data.folder import LeftOut, Listing, Radiograph, count_files, files_under, why_left_out
from trainer.data.housekeeping import class_name, is_annotation, is_housekeeping, is_name
from trainer.data.manifest import MANIFEST_FILE
from trainer.errors import UserError

__all__ = [
    "SPLIT_NAMES",
    "LeftOut",
    "Listing",
    "Radiograph",
    "check_classes",
    "files_under",
    "list_folder",
    "list_images",
    "read_listing",
]

BESIDE_CLASSES = "beside the class folders"
BESIDE_SPLITS = "in folders beside train, val and test"


def list_folder(path: str | Path) -> list[Radiograph]:
    """List the images of a folder, sorted by path; see :func:`read_listing`."""
    return read_listing(path).radiographs


def read_listing(path: str | Path) -> Listing:
    """List the images of a folder that is a whole dataset: :func:`list_images` with two classes at least.

    Raises:
        UserError: see :func:`list_images`; or fewer than two classes.
    """
    listing = list_images(path)
    check_classes(str(Path(path).expanduser().resolve()), listing.radiographs)
    return listing


def list_images(path: str | Path, table: Path | None = None) -> Listing:
    """List the images of a folder, sorted by path, and what in it is left out.

    ``manifest.csv`` with ``path,label`` (``site``, ``patient``, ``split`` if there) is used where there is one. Else
    the download of a public set is recognised by its files (:mod:`trainer.data.adapters`). Else each subfolder is a
    class, whatever the depth of its images; where the subfolders are official splits (``train/NORMAL/…``, perhaps in
    one folder more), the classes are inside those.

    Args:
        path: of the folder.
        table: a file with ``path,label`` of some of its images, which is used in place of all that.

    Raises:
        UserError: no such folder, nothing in it, a class without a file, class names that differ in case only, or a
            manifest that can't be used.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise UserError(f"--dataset {path}: no such folder (give kaggle, sample or a folder)")
    if not root.is_dir():
        raise UserError(f"--dataset {path}: a file; give the folder that has one subfolder per class")
    root = root.resolve()
    try:
        if table is not None or (root / MANIFEST_FILE).is_file():
            listing = read_dataset_table(root, table)
        else:
            listing = read_download(root) or _from_folders(root)
    except OSError as error:
        raise UserError(f"{error.filename or root}: can't be read ({error.strerror})") from error
    _check_labels(root, table, listing.radiographs)
    radiographs = [replace(radiograph, label=radiograph.label.upper()) for radiograph in listing.radiographs]
    return replace(listing, radiographs=sorted(radiographs, key=lambda radiograph: radiograph.path))


def _from_folders(root: Path) -> Listing:
    splits, top = _official_splits(root)
    radiographs: list[Radiograph] = []
    left_out = _beside(root, top, splits, BESIDE_SPLITS) if splits else []
    wrappers = [folder for folder in (top, *top.parents) if folder != root and folder.is_relative_to(root)]
    for wrapper in wrappers:
        left_out += _beside(root, wrapper.parent, [wrapper], BESIDE_SPLITS)
    empty: dict[str, list[str]] = defaultdict(list)
    for part, split in (splits or {top: ""}).items():
        classes = [folder for folder in _subfolders(part) if not is_annotation(folder.name)]
        left_out += _beside(root, part, classes, BESIDE_CLASSES)
        for folder in classes:
            place, label = folder.relative_to(root).as_posix(), class_name(folder.name)
            found = files_under(folder)
            left_out += [item._replace(path=f"{place}/{item.path}") for item in found.left_out]
            paths = [(file, file.relative_to(root).as_posix()) for file in found.files]
            radiographs += [Radiograph(file, path, label, split=split) for file, path in paths]
            if not found.files:
                empty[label.upper()].append(place)
    filled = {radiograph.label.upper() for radiograph in radiographs}
    for label, places in empty.items():
        if radiographs and label not in filled:
            raise UserError(f"{root}: class {label}: no image in its folder {places[0]}; fill the folder or remove it")
    return Listing(radiographs, left_out, [f"no image in {place}" for places in empty.values() for place in places])


def _official_splits(root: Path) -> tuple[dict[Path, str], Path]:
    """Folders train, val and test of an official layout, and the folder they lie in: ``root`` or a single one below."""
    top = root
    while True:
        folders = _subfolders(top)
        splits = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
        if "train" in splits.values() or (splits and len(splits) == len(folders)):
            return splits, top
        if len(folders) != 1:
            return {}, root
        top = folders[0]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not is_housekeeping(entry.name, True) and entry.is_dir())


def _beside(root: Path, top: Path, used: Collection[Path], reason: str) -> list[LeftOut]:
    """Files and folders of ``top`` that are not used."""
    left_out = []
    for entry in sorted(set(top.iterdir()).difference(used)):
        folder = entry.is_dir()
        why = why_left_out(entry.name, folder) or reason
        left_out.append(LeftOut(entry.relative_to(root).as_posix(), why, count_files(entry) if folder else 1))
    return left_out


def _check_labels(root: Path, table: Path | None, radiographs: Iterable[Radiograph]) -> None:
    spellings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for radiograph in radiographs:
        label = radiograph.label
        where = f"{root}: {radiograph.path}: label {label!r}"
        if not label or label.startswith(".") or "/" in label or "\\" in label:
            raise UserError(f"{where} can't be the name of a folder; rename the class")
        if not is_name(label):
            raise UserError(f"{where} has control characters or is not Unicode (unprintable); rename the class")
        spellings[radiograph.split, label.upper()].add(label)
    for names in spellings.values():
        if len(names) > 1:
            raise UserError(f"{root}: classes {' and '.join(sorted(names))} differ in case only; rename one")
    if not spellings and table is not None:
        raise UserError(f"{table}: no image in it has a label; fill in the column label")
    if not spellings:
        raise UserError(f"{root}: no image in it; it needs one subfolder per class, or a {MANIFEST_FILE}")


def check_classes(where: str, radiographs: Iterable[Radiograph]) -> None:
    """Refuse images of fewer than two classes; ``where`` names what they come from."""
    classes = sorted({radiograph.label for radiograph in radiographs})
    if len(classes) < 2:
        raise UserError(
            f"{where}: only one class, {classes[0]}; a run needs two or more. If the classes are one folder deeper, "
            "give that folder"
        )
