"""Several processes, GPUs or hosts: what ``torchrun`` started becomes one Ignite process group."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import ignite.distributed as idist
import torch

P = ParamSpec("P")


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


def first_only(action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Let the first process do it, and the others wait until it is done."""
    if idist.get_rank() == 0:
        action(*args, **kwargs)
    idist.barrier()
