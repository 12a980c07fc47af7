"""How many cores a process may use: its affinity, cut by a container's quota."""

import os
from pathlib import Path

import pytest

from bento.cpu import available_cores

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        pytest.param("max 100000", CORES, id="no quota"),
        pytest.param("50000 100000", 1, id="half a core is one"),
        pytest.param("100000 100000", 1, id="one core"),
        pytest.param(f"{CORES * 100000 - 1} 100000", CORES, id="a quota is rounded up"),
        pytest.param("99900000 100000", CORES, id="no more than the machine has"),
        pytest.param("nonsense", CORES, id="a file that is not understood"),
    ],
)
def test_the_quota_of_the_container_counts(tmp_path: Path, quota: str, cores: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert available_cores(file) == cores


def test_without_a_quota_all_cores_count(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "cpu.max") == CORES
