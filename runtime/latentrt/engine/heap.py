"""Memory that was freed goes back to the system."""

import ctypes
import functools
import sys
from collections.abc import Callable


def give_back() -> None:
    """Hand pages of freed memory back, where the C library keeps them (glibc) and says how."""
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """Where there is one, glibc's malloc_trim: it keeps what is freed below the top of its heap."""
    if not sys.platform.startswith("linux"):
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim
