"""Small datasets of noise images, and what a folder holds."""

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
