"""How much memory may still be taken here, and how many cores may be used."""

import ctypes
import math
import os
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")
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
    groups = _control_groups(proc, cgroups, "memory")
    left = [_left(group, *_FILES[version]) for group, version in groups]
    return min([meminfo * 1024, *(one for one in left if one is not None)])


@dataclass(frozen=True)
class Cores:
    """The processor's cores; what runs two threads at once counts as one.

    Attributes:
        installed: of the machine.
        usable: those that this process may run on.
        held: it may not run on all of the machine.
        quota: as many as a control group's share of time comes to, rounded up; None: it is not limited.
    """

    installed: int
    usable: int
    held: bool = False
    quota: int | None = None


def cores(proc: Path = _PROC, cgroups: Path = _CGROUPS, cpus: Path = _CPUS) -> Cores | None:
    """The cores that there are, and those that may be used; None where that cannot be told: on Linux it can."""
    if not hasattr(os, "sched_getaffinity") or (count := os.cpu_count()) is None:
        return None
    mask = os.sched_getaffinity(0)
    quotas = [_quota(group, version) for group, version in _control_groups(proc, cgroups, "cpu")]
    least = min((quota for quota in quotas if quota is not None), default=None)
    return Cores(_count(range(count), cpus), _count(mask, cpus), len(mask) < count, least)


def _count(processors: Collection[int], cpus: Path) -> int:
    """The cores of logical processors."""
    siblings = set()
    for processor in processors:
        try:
            siblings.add((cpus / f"cpu{processor}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            return len(processors)
    return len(siblings)


def _quota(group: Path, version: int) -> int | None:
    """How many cores' time a control group may take, rounded up; None: all."""
    if version == 2:
        try:
            quota, period = (group / "cpu.max").read_text().split()
        except (OSError, ValueError):
            return None
        return None if quota == "max" else max(math.ceil(int(quota) / int(period)), 1)
    taken, of = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    return None if taken is None or of is None or taken <= 0 else max(math.ceil(taken / of), 1)


def _control_groups(proc: Path, cgroups: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """The control groups that this process is in, from its own up, which have a controller; each with its version."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            version = 2 if controllers == "" else 1
            root = cgroups if version == 2 else cgroups / controller
            # In a container the path may be the host's, and the group is what is mounted.
            folder = root / path.strip("/")
            for group in (folder, *folder.parents):
                yield group, version
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
