"""The system's cache of a file's pages: empty it, fill it, and see how much of the file it holds.

A load is cold where the file comes from the disk, warm where its pages still are in memory. Emptying needs no rights
but to read the file (posix_fadvise); it is advice, so whether it was followed is looked at. What lies below the system,
such as a virtual machine's host or the disk itself, may still hold the bytes; nothing here reaches that.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLD, WARM = 0.01, 0.99  # the share of a file that is cached at the most, at the least
FROM_DISK = 0.9  # the share of what a load needs that comes from the disk at least, where it is cold
Span = tuple[int, int]  # of a file: where it starts, and where it ends
READ_BYTES = 16 * 2**20  # at a time
IO = Path("/proc/self/io")


class FileCacheError(Exception):
    """The cache cannot be brought into the state that was asked for; says why."""


@dataclass(frozen=True)
class Proof:
    """What was seen of one load.

    Attributes:
        cached_share: of the file that was cached most, before loading; None where it could not be asked.
        from_disk_bytes: what the loading process had the system read from disks; None where that is not counted.
        needed_bytes: what it takes of the files.
    """

    cached_share: float | None
    from_disk_bytes: int | None
    needed_bytes: int

    @property
    def why_not_cold(self) -> str | None:
        """Why this cannot be called a load from the disk; None where it can.

        Either sign will do: Linux tells what is cached to those alone who may write the file, else that all is.
        """
        if self.cached_share is not None and self.cached_share <= COLD:
            return None
        if self.from_disk_bytes is not None and self.from_disk_bytes >= FROM_DISK * self.needed_bytes:
            return None
        if self.cached_share is None and self.from_disk_bytes is None:
            return "this system does not tell what its file cache holds, so that no load can be called cold"
        cached = "an unknown share" if self.cached_share is None else f"{self.cached_share:.0%}"
        read = "an unknown number" if self.from_disk_bytes is None else f"{self.from_disk_bytes:,}"
        return (
            f"the file cache was not emptied: {cached} of the file was in it before loading, and {read} of "
            f"{self.needed_bytes:,} bytes came from the disk"
        )

    @property
    def why_not_warm(self) -> str | None:
        """Why this cannot be called a load from memory; None where it can, or where nothing is known against it."""
        if self.cached_share is None or self.cached_share >= WARM:
            return None
        return f"the file cache held only {self.cached_share:.0%} of the file after it had been read: memory is short"


def empty(path: Path) -> None:
    """Ask the system to forget the file's pages; whether it has, `cached_share` and `why_not_cold` tell.

    Pages that a process has mapped and touched stay: nobody else may have the file open in that way.

    Raises:
        FileCacheError: this system has no such call.
    """
    if not hasattr(os, "posix_fadvise"):
        raise FileCacheError("this system has no posix_fadvise, so the file cache was not emptied")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # pages not written yet are not dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def fill(path: Path, spans: Sequence[Span] | None = None) -> None:
    """Read the file, or parts of it, so that the system holds what it can of that."""
    with path.open("rb", buffering=0) as file:
        for start, end in [(0, path.stat().st_size)] if spans is None else spans:
            file.seek(start)
            left = end - start
            while left > 0 and (read := len(file.read(min(left, READ_BYTES)))):
                left -= read


def cached_share(path: Path, spans: Sequence[Span] | None = None) -> float | None:
    """The share, 0 to 1, of the pages of the file, or of parts of it, that the cache holds (mincore).

    None where that cannot be asked.
    """
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError, TypeError):  # Windows
        return None
    if path.stat().st_size == 0:
        return 0.0
    mapped = np.memmap(path, np.uint8, "r")
    pages = np.zeros(-(-mapped.size // mmap.PAGESIZE), np.uint8)
    if mincore(*map(ctypes.c_void_p, (mapped.ctypes.data, mapped.size, pages.ctypes.data))) != 0:
        return None
    if spans is None:
        return float((pages & 1).mean())
    held = [pages[start // mmap.PAGESIZE : -(-end // mmap.PAGESIZE)] & 1 for start, end in spans]
    return float(np.concatenate(held).mean()) if held else 0.0


def joined(spans: Iterable[Span], gap: int = READ_BYTES) -> list[Span]:
    """The same parts of a file in order, those that lie next to each other, or nearly, as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1] + gap:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def read_from_disk() -> int | None:
    """Bytes that this process has had the system read from disks so far; None where it does not count them (Linux)."""
    try:
        lines = IO.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))
    except (OSError, StopIteration, ValueError):
        return None
