"""Give memory that loading a model has left behind back to the operating system."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Collect garbage and, where the C library is glibc, return the free pages that it would keep."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
