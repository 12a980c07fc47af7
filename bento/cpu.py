"""How many processor cores this process may use, and how it keeps its memory."""

import ctypes
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
"""Parameters of glibc's ``mallopt``."""


def tell_allocator(parameters: Mapping[int, int]) -> None:
    """Set glibc's allocator; without glibc, nothing is done.

    By default it hands every large block back to the kernel, which gives it out zeroed again; told to keep its pages,
    programs that handle megabytes at a time save that work. It can do so in its main arena alone (``M_ARENA_MAX`` 1).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in parameters.items():
            libc.mallopt(parameter, value)


def available_cores(cpu_max: Path = CPU_MAX) -> int:
    """Cores this process may use: its affinity, cut by the container's quota (cgroup v2), at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))
