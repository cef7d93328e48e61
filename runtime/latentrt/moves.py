"""Renames that never take a name from anything, what stands at a path, and how to be rid of it."""

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from latentrt.lock import Lock

# What stands at a path: each entry's (device, inode, kind, size, time of its last change) by its name; None: nothing.
Standing = dict[str, tuple[int, ...]] | None

_PATIENCE_S = 60.0


def move_new(source: Path, target: Path) -> None:
    """Rename, but never onto something.

    Raises:
        FileExistsError: something is there.
    """
    if source.is_dir() or os.name == "nt":
        if os.path.lexists(target):  # POSIX renames a folder onto one that is empty
            raise taken(target)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and os.path.lexists(target):
                raise taken(target) from None
            raise
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise taken(target) from None
    except OSError:  # a file system without hard links, as of memory cards
        with _alone_in(target.parent):
            if os.path.lexists(target):
                raise taken(target) from None
            source.rename(target)
    else:
        source.unlink()


def standing_at(path: Path) -> Standing:
    """What stands at a path, of a folder with all that is in it."""
    try:
        found = {"": _mark(path)}
        if path.is_dir() and not path.is_symlink():
            for entry in path.rglob("*"):
                found[str(entry.relative_to(path))] = _mark(entry)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found


def _mark(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), size, status.st_mtime_ns)


def remove(path: Path) -> None:
    """Remove a file, a link or a hidden folder of ours with all that is in it, if it is there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Under another name first, where a thread that goes on filling it finds nothing to put a file into.
    gone = path.with_suffix(".latentrt-gone")
    with contextlib.suppress(OSError):
        path = path.rename(gone)
    for _ in range(10):  # Windows keeps what is open
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            break
        time.sleep(0.05)


def taken(target: Path) -> FileExistsError:
    """The error of a name that something has by now."""
    return FileExistsError(errno.EEXIST, "something else has appeared there", str(target))


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """The block is of no two of our processes at once, for a look and a rename that are not one operation."""
    claim, end = None, time.monotonic() + _PATIENCE_S
    while claim is None:
        try:
            claim = Lock(folder / ".latentrt-rename.latentrt-lock")
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(0.005)
    try:
        yield
    finally:
        claim.drop()
