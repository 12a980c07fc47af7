"""Several processes, GPUs or hosts: what ``torchrun`` started becomes one Ignite process group."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ignite.distributed as idist
import torch


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join torchrun's processes: nccl where they train on GPUs, gloo on CPUs. Without torchrun, nothing happens."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    idist.initialize("nccl" if device != "cpu" and torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        idist.finalize()


first_only = idist.one_rank_only(with_barrier=True)
"""Decorator: the first process does it, and the others wait until it is done."""
