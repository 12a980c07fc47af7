"""The dataset table: what ``split`` writes to ``data/manifest.csv`` and every later step reads.

One row per image; ``path`` is relative to the data folder, e.g. ``raw/NORMAL/x.png``.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.data.patients import person
from trainer.errors import UserError
from trainer.tables import read_table

__all__ = ["SPLITS", "Record", "Split", "fingerprint", "read_manifest", "split_protocol"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
MANIFEST_FILE = "manifest.csv"
PROTOCOL_FILE = "split.txt"


class Record(BaseModel):
    """One image of the split dataset: a row of ``manifest.csv``."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(min_length=1)
    """Relative to the data folder, with forward slashes."""
    label: str = Field(min_length=1)
    """Class, in upper case."""
    split: Split
    site: str
    """Hospital or collection; empty where the dataset does not say."""
    patient: str = Field(min_length=1)
    """Unique to the image where the dataset does not say."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file's bytes."""
    group: str = Field(min_length=1)
    """Images of one patient, and of one picture, have the same group; ``grouped`` keeps a group in one split."""
    dataset: str = ""
    """Name of the dataset that it was fetched with; empty in tables of earlier versions."""
    view: str = ""
    """``PA`` or ``AP`` where the dataset says so."""

    @property
    def person(self) -> str:
        """See :func:`trainer.data.patients.person`."""
        return person(self.site, self.patient)


def read_manifest(data_dir: Path) -> list[Record]:
    """Read ``manifest.csv`` of a data folder, in the order of its rows.

    Raises:
        UserError: ``split`` has not run, or the file is not as ``split`` writes it.
    """
    path = data_dir / MANIFEST_FILE
    if not path.is_file():
        raise UserError(f"{path} does not exist; run `python -m trainer split` first")
    records = []
    required = tuple(name for name, field in Record.model_fields.items() if field.is_required())
    for line, row in read_table(path, required=required, strip=False):
        try:
            records.append(Record.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(
                f"{path} line {line}: {first['loc'][0]}: {first['msg']}; run `python -m trainer split` again"
            ) from error
    if not records:
        raise UserError(f"{path} lists no image; run `python -m trainer split` again")
    return records


def split_protocol(data_dir: Path) -> str:
    """Protocol that the data folder was split by: ``grouped``, ``official`` or ``random``.

    Raises:
        UserError: ``split`` has not run.
    """
    try:
        return (data_dir / PROTOCOL_FILE).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise UserError(f"{data_dir}: is not split yet; run `python -m trainer split` first") from error


def fingerprint(records: Iterable[Record]) -> str:
    """SHA-256 over the sorted (hash, label, split) of all images: equal for the same data, wherever they lie."""
    lines = sorted(f"{record.sha256} {record.label} {record.split}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
