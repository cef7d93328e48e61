"""A lock that its process holds at most as long as it lives: an empty file that is there while the lock is held.

What a killed process leaves is such a file that nobody has locked.
"""

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# What systems say that have no locks on this file system.
_UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class Lock:
    """A lock that is held, until it is dropped.

    Args:
        path: its file; made if need be.
        make: False: only where the file is there already, and is of this user's.

    Raises:
        BlockingIOError: somebody else holds it.
        FileNotFoundError: no such folder; without `make`, no such file.
        OSError: the file cannot be made; or it is there, and is no lock, or not ours to take.
    """

    def __init__(self, path: Path, make: bool = True) -> None:
        self._path = path
        while True:
            self._file, made = _open(path, make)
            try:
                if not made:
                    _check(self._file, path, ours=not make)
                _lock(self._file, path, made)
                if _is(self._file, path):  # and not the file of a lock that was dropped just now
                    return
            except BaseException:
                if made:  # it must not stay; but who has locked it meanwhile has it now
                    with contextlib.suppress(OSError):
                        _lock(self._file, path, made)
                        self.drop()
                self._file.close()
                raise
            self._file.close()

    def drop(self) -> None:
        """Let others have it; the file goes."""
        if self._file.closed:
            return
        if (
            sys.platform == "win32"
        ):  # an open file cannot be removed, nor one that somebody else has open by then
            self._file.close()
        with contextlib.suppress(OSError):
            if self._file.closed or _is(self._file, self._path):
                self._path.unlink()
        self._file.close()


def _open(path: Path, make: bool) -> tuple[BinaryIO, bool]:
    """The file, and whether it was made here. Links are not followed."""
    while True:
        if make:
            with contextlib.suppress(FileExistsError):
                return path.open("xb", buffering=0), True
        try:
            return open(path, "r+b", buffering=0, opener=_no_link), False
        except FileNotFoundError:
            if not make:
                raise


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _check(file: BinaryIO, path: Path, ours: bool) -> None:
    """Refuse what is no lock of ours: those are empty."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_size:
        raise FileExistsError(errno.EEXIST, "is in the way: expected no file of that name", str(path))
    if ours and hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "is another user's", str(path))


def _lock(file: BinaryIO, path: Path, made: bool) -> None:
    try:
        if sys.platform == "win32":
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except PermissionError:
                raise BlockingIOError(errno.EAGAIN, "is locked", str(path)) from None
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if not made:  # without locks it is held by being there
            message = (
                "is there, and this file system has no locks: remove it if nothing is being written here"
            )
            raise FileExistsError(errno.EEXIST, message, str(path)) from None


def _is(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
