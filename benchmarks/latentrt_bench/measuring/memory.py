"""How much memory is there, and how much of it may still be taken."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")  # version 2: what a container may take
RESERVE = 0.05  # of all memory stays with the system
# What a worker takes beside activations: weights as computed with, and while a network is loaded as they are stored and
# as they are re-ordered too; Python with its libraries.
LOADING_FACTOR, BASE_BYTES = 1.5, 200e6


def total_memory() -> int:
    """Bytes of memory that this machine, or this container, has."""
    limit = _cgroup("memory.max")
    total: int = psutil.virtual_memory().total
    return total if limit is None else min(total, limit)


def free_memory() -> int:
    """Bytes that may still be taken without the system having to swap, less a reserve."""
    free: int = psutil.virtual_memory().available
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit is not None and used is not None:
        free = min(free, limit - used + _cached())
    return free - int(RESERVE * total_memory())


def worker_bytes(weights: int, activations: int, provider: str) -> int:
    """Bytes that a worker takes at about the most which loads a network and runs it.

    Of the system's memory: a network is loaded through it for a GPU too, which then holds the activations.

    Args:
        weights: in the type that is computed in.
        activations: those alive at once.
        provider: its name, what computes.
    """
    running = 0 if provider == "cuda" else activations
    return int((1 + LOADING_FACTOR) * weights + running + BASE_BYTES)


def _cached() -> int:
    """Bytes of files that count as used by the container, and are given back when they are wanted."""
    try:
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, StopIteration, ValueError):
        return 0


def _cgroup(name: str) -> int | None:
    try:
        return int((CGROUP / name).read_text())
    except (OSError, ValueError):  # no such control group, or "max": no limit
        return None
