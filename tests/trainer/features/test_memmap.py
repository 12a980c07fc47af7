"""Arrays on disk: whole or not there."""

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.features.memmap import create_array, mapping_of, missing_anywhere, open_array, release


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


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(1)
    with pytest.raises(UserError, match=r"no space left for 0\.00 GB of cache; free some"):
        fill(folder / "big.npy", 1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("length", [0, 60, -1])
def test_an_array_that_is_cut_off_counts_as_missing(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.npy"
    fill(path, 3)
    assert not missing_anywhere([path])
    path.write_bytes(path.read_bytes()[:length])
    assert missing_anywhere([path])
    assert missing_anywhere([tmp_path / "b.npy"])


def test_a_mapped_array_and_its_parts_know_their_map(tmp_path: Path) -> None:
    """Fails where NumPy keeps it elsewhere: nothing would be released any more."""
    fill(tmp_path / "a.npy", 3)
    array = open_array(tmp_path / "a.npy")
    assert isinstance(mapping_of(array), mmap.mmap)
    assert isinstance(mapping_of(array[2:9].reshape(1, 7)), mmap.mmap)
    assert mapping_of(array + 1) is None
    release(array)
    assert (array == 3).all()
