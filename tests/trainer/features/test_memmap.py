"""Arrays on disk: whole or not there."""

from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.features.memmap import create_array, open_array


def fill(path: Path, value: int, *, interrupt: bool = False) -> None:
    with create_array(path, (2_000_000,), "uint8") as array:
        array[:] = value
        if interrupt:
            raise KeyboardInterrupt


def test_an_interrupted_array_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a.npy", 1, interrupt=True)
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / "a.npy", 3)
    assert (open_array(tmp_path / "a.npy") == 3).all()


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(UserError, match=r"no space left for 0\.00 GB of cache; free some"):
        fill(small_disk / "big.npy", 1)
    assert list(small_disk.iterdir()) == []
