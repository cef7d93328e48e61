"""How much memory is there, and how much of it may still be taken."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")  # version 2: what a container may take
RESERVE = 0.05  # of all memory stays with the system


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
        free = min(free, limit - used)
    return free - int(RESERVE * total_memory())


def _cgroup(name: str) -> int | None:
    try:
        return int((CGROUP / name).read_text())
    except (OSError, ValueError):  # no such control group, or "max": no limit
        return None
