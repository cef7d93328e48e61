"""Memory that is freed goes back to the system, where the C library keeps it and says how (glibc).

It keeps what is freed in its heap, among what is still used: of tensors up to 32 MiB, which are most weights, once it
has seen one so large freed. A session that is made frees as much as it keeps.
"""

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_SMALL = 1 << 20  # bytes: what is larger is mapped by itself, and goes back when it is freed
_USUAL = 32 << 20  # what glibc takes by itself after a while; mapping costs time, which a run does not have


@contextmanager
def giving_back(at_once: bool = True) -> Iterator[None]:
    """What the block frees goes back to the system, the large at once, the rest in the end.

    Args:
        at_once: False where what is freed is taken again and again, as by weights that are packed to no end: then all
            of it goes back in the end, and is not zeroed by the system each time.
    """
    libc = _libc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _SMALL if at_once else _USUAL)
    libc.mallopt(_TRIM_THRESHOLD, 2 * _USUAL)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _USUAL)
        libc.malloc_trim(0)


def give_back() -> None:
    """What was freed so far goes back to the system."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@functools.cache
def _libc() -> Any:
    """Glibc; None where the C library is another."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
