"""An artifact's folder: its files, and how it is read and checked."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bento.artifact.manifest import FORMAT_VERSION, ONNX_FILE, Manifest

WEIGHTS_FILE = "weights.safetensors"
SEEN_FILE = "seen_images.csv"
SITE_IMAGES_FILE = "site_images.csv"
MANIFEST_FILE = "manifest.json"
FORMER_NAMES = {
    "": {"metrics_by_source": "metrics_by_site", "intervals_by_source": "intervals_by_site", "views": "orientations"},
    "data": {"sources": "sites"},
    "novelty": {"films": "images", "test_flagged_by_source": "test_flagged_by_site"},
    "config": {"hold_out_source": "hold_out_site", "source_alignment": "site_alignment"},
}
"""Names of fields in formats 1 to 4 and since format 5: of the manifest itself (``""``) and of parts of it."""


class ArtifactError(Exception):
    """The artifact can't be used: missing, damaged, or of a format that this program does not know."""


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_manifest(folder: Path) -> Manifest:
    """Read and check an artifact folder: manifest first, then the hash of every file that it names.

    Raises:
        ArtifactError: one line that says what is wrong and where.
    """
    path = folder / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ArtifactError(f"{path}: can't be read ({error.strerror}); publish the model again") from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path}: not text in UTF-8; publish the model again") from error
    try:
        head = _Head.model_validate_json(text)
        if head.format_version > FORMAT_VERSION:
            raise ArtifactError(
                f"{path}: format version {head.format_version} is newer than {FORMAT_VERSION}, "
                "which this program knows; update the program"
            )
        document = json.loads(text)
        if head.format_version < 5:
            rename_fields(document)
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "top level"
        raise ArtifactError(f"{path}: {where}: {first['msg']}; publish the model again") from error
    if site := manifest.site:
        mismatch = site.mismatch(manifest.model_version, manifest.files[ONNX_FILE], manifest.classes)
        if mismatch:
            raise ArtifactError(
                f"{path}: site {site.name}: {mismatch}; calibrate the model again: python -m trainer calibrate"
            )
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{file}: missing; publish the model again")
        try:
            actual = sha256_file(file)
        except OSError as error:
            raise ArtifactError(f"{file}: can't be read ({error.strerror}); publish the model again") from error
        if actual != expected:
            raise ArtifactError(f"{file}: SHA-256 differs from the manifest's; publish the model again")
    return manifest


def rename_fields(document: dict[str, Any]) -> None:
    """Give the fields of a manifest of format 1 to 4 the names that they have since format 5."""
    for part, names in FORMER_NAMES.items():
        fields = document.get(part) if part else document
        if isinstance(fields, dict):
            for former in names.keys() & fields.keys():
                fields[names[former]] = fields.pop(former)


class _Head(BaseModel):
    """What a manifest of any format has."""

    format_version: int
