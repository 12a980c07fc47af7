"""What loading a model leaves behind, given back to the operating system."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Free what nobody refers to, and return its pages: glibc keeps them otherwise. Elsewhere only the former."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
