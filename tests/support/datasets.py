"""Small datasets of noise images, and what a folder holds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.settings import Settings


def radiograph(path: Path, seed: int, *, kind: str = "PNG") -> Path:
    """Write a small image of noise, which no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)
    return path


def radiographs(root: Path, *names: str) -> Path:
    """Write a folder of different images."""
    for seed, name in enumerate(names):
        radiograph(root / name, seed)
    return root


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, inode and time of every file: equal trees mean that nothing was written."""
    return {
        file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_ino, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Content of every file."""
    return {name: content for name, (content, _, _) in tree(folder).items()}


def settings(dataset: Path | str, data: Path, **more: object) -> Settings:
    """Settings of a dataset and a data folder."""
    return Settings.model_validate({"dataset": str(dataset), "data_dir": data, **more})


Row = tuple[str, str, str, str]
"""Path, label, site, patient."""


def table(root: Path, rows: list[Row]) -> Path:
    """Write a folder of different images with a manifest."""
    for seed, row in enumerate(rows):
        radiograph(root / row[0], seed)
    lines = ["path,label,site,patient", *(",".join(row) for row in rows)]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def two_hospitals(classes: dict[tuple[str, str], int], each: Callable[[int], int] = lambda number: 1) -> list[Row]:
    """So many patients of each (label, site), with ``each(number)`` images a patient."""
    return [
        (f"{label}/{site}{number}_{index}.png", label, site, f"{site}-{label}-{number}")
        for (label, site), count in classes.items()
        for number in range(count)
        for index in range(each(number))
    ]
