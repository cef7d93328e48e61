"""The folder of prepared networks: where it is, whose it may be, how large it grows, and what goes first."""

import contextlib
import os
import re
import shutil
import stat
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from latentrt.claim import sweep
from latentrt.errors import InputError, ModelError
from latentrt.files import read_json
from latentrt.moves import remove

FOLDER, SIZE = "LATENTRT_CACHE", "LATENTRT_CACHE_SIZE"
OFF = "off"
MANIFEST = "entry.json"
FORMAT = 1
_LIMIT = 30_000_000_000
_SPARE = 2_000_000_000  # bytes of the disk that stay free
_UNITS = {"": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_KEY = re.compile(r"[0-9a-f]{40}")
_GONE = ".latentrt-gone"  # what somebody is removing, or was when he was killed


class NotPrepared(UserWarning):
    """A prepared network could not be kept or used, and is loaded as without the cache; the message says why."""


class NoRoomError(Exception):
    """The folder or the disk has no room for what is to be kept; says so."""


@dataclass(frozen=True)
class Kept:
    """A prepared network in the folder.

    Attributes:
        key: of its network; the name of its folder.
        component: the network's name: "unet".
        source: the file that its weights are of, and others.
        size: bytes that it takes on disk.
        used: when it was last loaded, in seconds since 1970.
    """

    key: str
    component: str
    source: tuple[str, ...]
    size: int
    used: float


@dataclass(frozen=True)
class Cache:
    """The folder of prepared networks, there or not.

    Attributes:
        root: its path.
        limit: bytes that it may take on disk.
    """

    root: Path
    limit: int

    def open(self) -> None:
        """Make the folder, this user's alone.

        Raises:
            PermissionError: somebody else may write there; what lies there is not to be used.
            OSError: it cannot be made.
        """
        with contextlib.suppress(FileExistsError):
            self.root.mkdir(mode=0o700, parents=True)
        self.check()

    def check(self) -> None:
        """See that nobody else may write there.

        Raises:
            PermissionError: somebody else may.
            OSError: it is not there, or no folder.
        """
        status = self.root.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(20, "is no folder", str(self.root))
        if not hasattr(os, "geteuid"):
            return
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(13, "others may write there, and it is not used", str(self.root))

    def kept(self) -> list[Kept]:
        """What is in the folder, that used last first; nothing where it may not be used."""
        try:
            self.check()
            names = [entry.name for entry in os.scandir(self.root) if _KEY.fullmatch(entry.name)]
        except OSError:
            return []
        found = [kept for name in names if (kept := _read(self.root / name)) is not None]
        return sorted(found, key=lambda kept: kept.used, reverse=True)

    def size(self) -> int:
        """Bytes that it takes on disk."""
        return sum(kept.size for kept in self.kept())

    def prune(self, limit: int) -> list[Kept]:
        """Remove what killed processes left, and what was used least recently, until no more than `limit` is taken.

        Gives what was removed. A process that has one mapped goes on with it.
        """
        self.check()
        sweep(self.root)
        for path in self.root.iterdir():
            if path.name.endswith(_GONE) or (_KEY.fullmatch(path.name) and _read(path) is None):
                remove(path)
        removed, kept = [], self.kept()
        total = sum(one.size for one in kept)
        while total > limit:
            last = kept.pop()
            total -= last.size
            self.remove(last.key)
            removed.append(last)
        return removed

    def has_room(self, size: int, beside: int) -> bool:
        """Whether a network has room, others removed for it."""
        return self._lacks(size, beside) is None

    def make_room(self, size: int, beside: int) -> None:
        """Remove what was used least recently until a network has room.

        Args:
            size: bytes that it will take.
            beside: bytes that it takes besides, for as long as it is made.

        Raises:
            NoRoomError: the folder may not be so large, or the disk has no room.
        """
        if (lack := self._lacks(size, beside)) is not None:
            raise NoRoomError(lack)
        self.prune(self.limit - size)

    def _lacks(self, size: int, beside: int) -> str | None:
        """Why there is no room, however much is removed; None where there is."""
        if size > self.limit:
            return f"it takes {size / 1e9:.1f} GB, and {SIZE} allows {self.limit / 1e9:.1f} GB in all"
        free = shutil.disk_usage(_standing(self.root)).free
        going = max(self.size() + size - self.limit, 0)
        if free + going >= size + beside + _SPARE:
            return None
        made, left = (size + beside) / 1e9, free / 1e9
        return f"it takes {made:.1f} GB while it is made, and {left:.1f} GB are free in {self.root}"

    def remove(self, key: str) -> None:
        """Remove a network, if it is there."""
        with contextlib.suppress(OSError):
            remove(self.root / key)


def cache_here(environ: Mapping[str, str] = os.environ) -> Cache | None:
    """The folder that the environment names, else one in the user's cache; None where it is switched off.

    Raises:
        InputError: the size is none.
    """
    named = environ.get(FOLDER, "")
    if named.lower() == OFF:
        return None
    size = environ.get(SIZE, "")
    limit = parse_size(SIZE, size) if size else _LIMIT
    base = Path(named).expanduser() if named else user_cache_path("latentrt", appauthor=False)
    return Cache(base.absolute() / "prepared", limit)


_told: set[str] = set()


def tell(message: str) -> None:
    """Warn that something is loaded as without the cache; of the same reason once in a process."""
    if message not in _told:
        _told.add(message)
        warnings.warn(
            f"{message}; goes on without prepared weights (--no-cache, or {FOLDER}={OFF}, says no more)",
            NotPrepared,
            stacklevel=2,
        )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What a network's folder says of it; None where it is not whole, or of another version of ours."""
    try:
        read = read_json(folder / MANIFEST)
    except ModelError:
        return None
    whole = read.get("format") == FORMAT and read.get("key") == folder.name.strip(".").partition(".")[0]
    return read if whole else None


def _read(folder: Path) -> Kept | None:
    manifest = read_manifest(folder)
    if manifest is None:
        return None
    try:
        used = (folder / MANIFEST).stat().st_mtime
        size = sum(_taken(entry.stat()) for entry in os.scandir(folder))
        return Kept(folder.name, str(manifest["component"]), tuple(manifest["source"]), size, used)
    except (OSError, KeyError, TypeError):
        return None


def _taken(status: os.stat_result) -> int:
    """Bytes of a file on disk, where holes take none."""
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * 512


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def parse_size(name: str, text: str) -> int:
    """Bytes, of a size as 30GB.

    Raises:
        InputError: it is none; the message names it by `name`.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(MB|GB|TB|)", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"{name}: expected a size as 30GB or 500MB, got {text!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])
