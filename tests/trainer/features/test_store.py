"""The cache folder: names and room."""

import os
from pathlib import Path

import numpy as np
import pytest

from trainer.features.store import Store


def test_a_name_is_a_function_of_kind_and_determinants(tmp_path: Path) -> None:
    store = Store(tmp_path, 0)
    assert store.path("images", 1, ["a"]) == store.path("images", 1, ["a"])
    others = {
        store.path("images", 1, ["a"]),
        store.path("images", 1, ["b"]),
        store.path("images", 1, "a"),
        store.path("prefix", 1, ["a"]),
        store.path("images", 1, ["a"], suffix=".safetensors"),
    }
    assert len(others) == 5


@pytest.mark.parametrize(("need", "left"), [(0, {"b.npy", "c.npy"}), (150, {"c.npy"}), (900, set())])
def test_room_is_made_by_removing_what_was_used_longest_ago(tmp_path: Path, need: int, left: set[str]) -> None:
    for age, name in enumerate(("c.npy", "b.npy", "a.npy")):
        (tmp_path / name).write_bytes(np.zeros(200, np.uint8).tobytes())
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    Store(tmp_path, 500).make_room(need)
    assert {path.name for path in tmp_path.iterdir()} == left
