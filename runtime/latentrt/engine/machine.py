"""How much memory may still be taken here."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
# Of a control group of version 2 and 1: its limit, what it uses, and where it says which of that are idle files.
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that this process may still take without the system having to swap; None where that cannot be told.

    On Linux the least of what the system has and what every control group above this process allows, as in a container.
    On macOS, which tells no such number, all that the machine has.
    """
    if sys.platform == "win32":
        return _windows()
    meminfo = _number(proc / "meminfo", "MemAvailable:")
    if meminfo is None:
        return _installed()
    return min([meminfo * 1024, *_control_groups(proc, cgroups)])


def _control_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each control group that this process is in has left."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            version = 2 if controllers == "" else 1
            root = cgroups if version == 2 else cgroups / controllers
            # In a container the path may be the host's, and the group is what is mounted.
            folder = root / path.strip("/")
            for group in (folder, *folder.parents):
                if (left := _left(group, *_FILES[version])) is not None:
                    yield left
                if group == root:
                    break


def _left(group: Path, limit_file: str, used_file: str, idle_key: str) -> int | None:
    limit, used = _number(group / limit_file), _number(group / used_file)
    if limit is None or used is None:
        return None
    idle = _number(group / "memory.stat", idle_key) or 0  # files, which go when memory is wanted
    return max(limit - used + idle, 0)


def _number(path: Path, key: str | None = None) -> int | None:
    """The number that a file holds, alone or behind a key; None where there is none ("max": no limit)."""
    try:
        words = [line.split() for line in path.read_text().splitlines()]
        return int(words[0][0]) if key is None else next(int(line[1]) for line in words if line[0] == key)
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _installed() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _windows() -> int | None:
    class Status(ctypes.Structure):
        """MEMORYSTATUSEX."""

        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            ("total", ctypes.c_uint64),
            ("available", ctypes.c_uint64),
            ("rest", ctypes.c_uint64 * 5),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - there on Windows alone
    return int(status.available) if kernel.GlobalMemoryStatusEx(ctypes.byref(status)) else None
