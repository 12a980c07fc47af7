"""Device, threads and allocator: everything that makes PyTorch fast on the machine at hand, in one place."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import ignite.distributed as idist
import torch
from torch import Tensor

from bento.cpu import M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD, available_cores, tell_allocator
from trainer.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def prepare(device: str) -> torch.device:
    """Choose the device and tune the process for it.

    On a CPU, glibc hands every large tensor back to the kernel and gets it zeroed again at the next step; told
    to keep its pages, training steps take about 0.6 of the time. It can do so in its main arena alone, which all
    threads therefore share. On a GPU, TF32 is allowed in matrix products.

    Raises:
        UserError: CUDA was asked for and is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for, but PyTorch sees no GPU; give --device cpu or auto")
    if device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(max(1, available_cores() // idist.get_nproc_per_node()))
        tell_allocator({M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1})
        return torch.device("cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda", idist.get_local_rank())


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32, whose ten bits of mantissa are too coarse to compare a network with its export."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on the device; to a GPU through pinned memory, so that nobody waits for the copy."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x


def side_by_side(function: Callable[[T], R], parts: Iterable[T], device: torch.device) -> Iterator[R]:
    """What ``function`` makes of each part, in their order; on a CPU every core works on a part of its own.

    Several threads on one part wait for each other at each operator; small operators and Python keep all but one idle.
    Each part's result is that of one thread, so that it does not depend on the number of cores.
    """
    if device.type != "cpu":
        yield from map(function, parts)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, parts)
    finally:
        torch.set_num_threads(threads)  # some of its libraries count for the whole process
