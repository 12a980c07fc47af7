"""Read a dataset's own ``manifest.csv``: which files are its images, and what is known of each."""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from trainer.data.folder import ANNOTATIONS, FRONTAL, NOT_FRONTAL, LeftOut, Listing, Radiograph, files_under
from trainer.data.housekeeping import class_name, is_annotation, is_housekeeping, is_name
from trainer.data.manifest import MANIFEST_FILE
from trainer.errors import UserError
from trainer.tables import read_table

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Names of the official splits in folders and manifests, in lower case."""
_COLUMNS = {"patientid": "patient", "source": "site", "viewposition": "view", "license": "licence"} | {
    name: name for name in ("path", "label", "site", "patient", "split", "view", "licence")
}
"""Columns that are used, by their names in lower case without blanks, hyphens and underscores."""
_LOOKS_LIKE = {
    "patient": r"patient|subject|person|case|mrn",
    "site": r"site|hospital|institut|cent(er|re)|clinic|source",
    "split": r"split|fold|set|subset|partition|usage",
    "label": r"label|class|diagnos|finding|target|category",
}
"""Patterns of columns that seem to say what ours do."""
_ABOUT_PATIENTS = re.compile(r"age|sex|gender|weight|height|position")
UNLISTED = f"that {MANIFEST_FILE} does not list"
NOT_LABELLED = "without a label yet"
_NOBODY = frozenset(("nan", "na", "n/a", "none", "null", "unknown", "-", "?"))
"""What programs write for a patient that is not known."""


def read_dataset_table(root: Path, table: Path | None = None, labelled: bool = True) -> Listing:
    """The images that ``root/manifest.csv`` lists, in its order.

    Args:
        root: folder of the images.
        table: another file that lists some of them; its rows without a label are left out.
        labelled: False: the table need not have the column ``label``; the labels are empty.

    Raises:
        UserError: the table can't be used.
        OSError: a folder can't be read.
    """
    manifest = table or root / MANIFEST_FILE
    rows = read_table(manifest, required=("path", "label") if labelled else ("path",), rename=_rename)
    if not rows:
        raise UserError(f"{manifest}: lists no image")
    radiographs: dict[str, Radiograph] = {}
    names = functools.cache(_names)
    missing = []
    for line, row in rows:
        where = f"{manifest} line {line}"
        path = _find(root, _relative(root, row["path"], where), names)
        if path in radiographs:
            raise UserError(f"{where}: {path} is listed twice")
        radiographs[path] = _radiograph(root, path, row if labelled else row | {"label": ""}, where)
        if not (root / path).is_file():
            missing.append(f"{where}: {path} does not exist")
    if missing:
        more = f" ({len(missing)} such rows)" if len(missing) > 1 else ""
        raise UserError(f"{missing[0]}{more}; mend {'the manifest' if table is None else 'the table'}")
    nobody = Counter(patient for _, row in rows if (patient := row.get("patient", "")).casefold() in _NOBODY)
    notes = _unused_columns(rows[0][1]) + [
        f"{count:,} images have the patient {name!r}, which names nobody: each counts as a patient of its own"
        for name, count in nobody.items()
    ]
    listed = [radiograph for path, radiograph in radiographs.items() if not _in_housekeeping(path)]
    lateral = [LeftOut(radiograph.path, NOT_FRONTAL) for radiograph in listed if radiograph.view not in FRONTAL]
    listed = [radiograph for radiograph in listed if radiograph.view in FRONTAL]
    annotated = [radiograph.path for radiograph in listed if any(map(is_annotation, radiograph.path.split("/")[:-1]))]
    if annotated:
        notes.append(f"{len(annotated):,} images that {manifest.name} lists lie {ANNOTATIONS}, e.g. {annotated[0]}")
    if table is None:
        return Listing(listed, _left_out(root, radiographs.keys()) + lateral, notes)
    empty = [LeftOut(radiograph.path, NOT_LABELLED) for radiograph in listed if not radiograph.label]
    return Listing([radiograph for radiograph in listed if radiograph.label], empty + lateral, notes)


def _radiograph(root: Path, path: str, row: dict[str, str], where: str) -> Radiograph:
    """The image of a row of the table, which ``where`` names."""
    split, view, patient = row.get("split", "").lower(), row.get("view", "").upper(), row.get("patient", "")
    if split and split not in SPLIT_NAMES:
        raise UserError(f"{where}: split {row['split']!r} is none of train, val and test")
    return Radiograph(
        root / path,
        path,
        class_name(row["label"]),
        row.get("site", ""),
        "" if patient.casefold() in _NOBODY else patient,
        SPLIT_NAMES.get(split, ""),
        "" if view == "FRONTAL" else view,
        row.get("licence", ""),
        columns={name: cell for name, cell in row.items() if name not in _COLUMNS.values()},
    )


def _left_out(root: Path, listed: Collection[str]) -> list[LeftOut]:
    """Housekeeping, annotations that the table does not list, and other files that it does not list."""
    found = files_under(root)
    folders = {folder for path in listed for folder in _ancestors(path)}
    kept = [item for item in found.left_out if item.reason != ANNOTATIONS or item.path not in folders]
    paths = [file.relative_to(root).as_posix() for file in found.files]
    return kept + [LeftOut(path, UNLISTED) for path in paths if path not in listed and path != MANIFEST_FILE]


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _rename(columns: list[str]) -> list[str]:
    """Our names for the columns that are used, where they have another spelling and our name is not there itself."""
    plain = ["".join(character for character in name if character.isalnum()) for name in columns]
    return [
        new if (new := _COLUMNS.get(key, name)) == name or new not in columns else name
        for name, key in zip(columns, plain, strict=True)
    ]


def _unused_columns(columns: dict[str, str]) -> list[str]:
    """Sentences on columns that look as if they said something that is used, but have another name."""
    notes = []
    for column in sorted(columns.keys() - _COLUMNS.values()):
        name = next((name for name, pattern in _LOOKS_LIKE.items() if re.search(pattern, column)), None)
        if name and not _ABOUT_PATIENTS.search(column):
            used = (
                f"the {name} is taken from column {name!r}"
                if name in columns
                else f"call it {name!r} if it is the {name}"
            )
            notes.append(f"{MANIFEST_FILE}: column {column!r} is not used; {used}")
    return notes


def _relative(root: Path, cell: str, where: str) -> str:
    path = cell.replace("\\", "/")
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise UserError(f"{where}: path {cell!r} does not lie inside the folder; give it relative to {root}")
    if not is_name(path):
        raise UserError(f"{where}: path {cell!r} has control characters")
    return "/".join(part for part in parts if part not in ("", "."))


def _in_housekeeping(path: str) -> bool:
    *folders, name = path.split("/")
    return is_housekeeping(name, False) or any(is_housekeeping(folder, True) for folder in folders)


def _find(root: Path, path: str, names: Callable[[Path], dict[str, str]]) -> str:
    """The path as it is on disk, where its letters may be composed in another way (Unicode NFC and NFD)."""
    if (root / path).exists():
        return path
    folder = root
    for part in path.split("/"):
        same = names(folder).get(unicodedata.normalize("NFC", part))
        if same is None:
            return path
        folder /= same
    return folder.relative_to(root).as_posix()


def _names(folder: Path) -> dict[str, str]:
    """Names in a folder by their NFC form."""
    if not folder.is_dir():
        return {}
    return {unicodedata.normalize("NFC", entry.name): entry.name for entry in folder.iterdir()}
