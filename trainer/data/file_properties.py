"""What an image's file is like, its picture aside: format, size, bits, compression, border.

Each hospital's and each collection's files have their own; none of it has to do with a disease.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from bento.imaging.intake import DecodedImage
from trainer.data.fetch_report import RAW
from trainer.tables import read_table

FILE = "files.csv"
_SIDE = 64
_UNIFORM = 4
"""A row or column is border where all its pixels lie within fewer grey levels than this."""
_COMMON = 0.05
"""Share of the images that have the same property, from which on it tells one kind of file from the others."""


class FileProperties(BaseModel):
    """One image's file, as it was before ``fetch``: a row of ``raw/files.csv``."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Of the image, relative to the data folder."""
    format: str
    """``JPEG``, ``PNG``, ``MPO`` or ``DICOM``."""
    mode: str
    """Pillow's, such as ``L`` or ``RGB``; empty for DICOM."""
    bits: int
    """Of a channel; 0 for DICOM."""
    width: int
    height: int
    bytes: int
    luminance: int
    """Sum of a JPEG's quantisation table for brightness: the greater, the more is lost. 0: there is none."""
    chrominance: int
    """The same for colour."""
    left: float
    """Width of the uniform border as a share of the side."""
    top: float
    right: float
    bottom: float


def file_properties(path: str, file: Path, decoded: DecodedImage) -> FileProperties:
    """Properties of a file that has been decoded; ``path`` is the image's in the data folder."""
    size = file.stat().st_size
    borders = dict(zip(("left", "top", "right", "bottom"), _borders(decoded.radiograph), strict=True))
    if decoded.stored_format == "DICOM":
        width, height = decoded.radiograph.size
        return FileProperties(
            path=path, format="DICOM", mode="", bits=0, width=width, height=height, bytes=size, luminance=0,
            chrominance=0, **borders,
        )  # fmt: skip
    with Image.open(file) as image:
        tables = [sum(table) for table in getattr(image, "quantization", {}).values()]
        return FileProperties(
            path=path, format=image.format or "", mode=image.mode, bits=_bits(file, image), width=image.width,
            height=image.height, bytes=size, luminance=(tables or [0])[0], chrominance=sum(tables[1:2]), **borders,
        )  # fmt: skip


def _bits(file: Path, image: Image.Image) -> int:
    if image.format != "PNG":
        return int(getattr(image, "bits", 8))
    with file.open("rb") as stream:
        return stream.read(25)[24]  # of the header chunk, which comes first


def _borders(radiograph: Image.Image) -> tuple[float, float, float, float]:
    small = np.asarray(radiograph.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.int16)
    across, down = np.ptp(small, axis=0) < _UNIFORM, np.ptp(small, axis=1) < _UNIFORM
    lengths = [int(np.argmin(line)) for line in (across, down, across[::-1], down[::-1])]
    left, top, right, bottom = (length / _SIDE for length in lengths)
    return left, top, right, bottom


def read_file_properties(data_dir: Path) -> dict[str, FileProperties]:
    """Properties by image path; empty where an earlier version fetched the dataset."""
    path = data_dir / RAW / FILE
    if not path.is_file():
        return {}
    rows = read_table(path, tuple(FileProperties.model_fields), strip=False)
    return {row["path"]: FileProperties.model_validate(row) for _, row in rows}


def kinds_of_files(properties: Sequence[FileProperties]) -> list[str]:
    """A name of the kind of each of N files; kinds serve as sites where none are named.

    Files of one format and mode are told apart further by compression and by size, as far as at least a twentieth of
    all images has the same.
    """
    names = [f"{one.format} {one.mode} {one.bits or ''}".strip() for one in properties]
    for details in (
        [f"quantised {one.luminance}/{one.chrominance}" if one.luminance else "" for one in properties],
        [f"{one.width}×{one.height}" for one in properties],
    ):
        finer = list(zip(names, details, strict=True))
        images = Counter(finer)
        common = {pair for pair, count in images.items() if count >= _COMMON * len(properties)}
        names = [f"{name} {detail}".strip() if (name, detail) in common else name for name, detail in finer]
    return names
