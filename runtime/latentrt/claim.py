"""The right to write one file or folder, taken before the work, so that nothing of anybody else's is lost in the end.

Whoever claims OUT holds the lock of a hidden file beside it, `.OUT.latentrt-lock`, at most as long as the process
lives. So long, `.OUT.latentrt-new` is what it makes, and `.OUT.latentrt-old` what that replaces, for the moment between
two renames. What is made appears whole, in the end, by an operation that fails where something has appeared meanwhile.
What a killed process left has a lock that is free: the next one that writes into the folder removes it.
"""

import contextlib
import itertools
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from latentrt.errors import InputError
from latentrt.lock import Lock
from latentrt.moves import move_new, remove, standing_at, taken

_LOCK = re.compile(r"\.(.+)\.latentrt-lock", re.DOTALL)
_HIDDEN = re.compile(r"\.latentrt-\w+$")
_PATIENCE_S = 1.0  # who removes what was left holds its lock for a moment


class TargetTaken(UserWarning):
    """Something appeared at the target while it was being made; the message says under which name it is instead."""


class Claim:
    """A target that nobody else of us writes until this is released, which leaves nothing but what has appeared.

    Args:
        target: a file or folder, there or not, in a folder that exists.
        replaces: what stands there now may be replaced; what appears later never is. A link is replaced itself, and
            what it leads to stays.
        sweeps: look first for what killed processes left in the folder.

    Attributes:
        target: as given.
        new: where to make what shall appear there.

    Raises:
        InputError: somebody else writes there.
        OSError: nothing can be written beside it; names the target.
    """

    def __init__(self, target: Path, replaces: bool = False, sweeps: bool = True) -> None:
        self.target = target
        self._target = target.absolute()  # wherever the process goes
        self.new, self._old = _beside(self._target, "new"), _beside(self._target, "old")
        self._replaces = replaces
        self._lock: Lock | None = None
        _held[self] = os.getpid()
        try:
            if sweeps:
                sweep(self._target.parent)
            self._lock = self._acquire()
            _clear(self._target)
            self._seen = standing_at(self._target)
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def release(self) -> None:
        """Remove what has not appeared, put back what it had been about to replace, and let others write."""
        if _held.get(self) != os.getpid():  # it was released, or this process was forked off
            return
        if self._lock is None:  # an interrupt came between the making of its file and here
            sweep(self._target.parent)
        else:
            _clear(self._target)
            self._lock.drop()
        _held.pop(self, None)

    def appear(self) -> None:
        """Put `new` in the target's place, whole and in one moment.

        Raises:
            FileExistsError: something stands there that did not when it was claimed, or that may not be replaced. It is
                untouched, and `new` is still there.
            OSError: it cannot be put there; all is as it was.
        """
        standing = standing_at(self._target)
        if standing is not None and not (self._replaces and standing == self._seen):
            raise taken(self.target)
        if standing is None:
            move_new(self.new, self._target)
        elif self.new.is_dir():
            self._replace_folder()
        else:
            self.new.replace(self._target)
        self._seen, self._replaces = standing_at(self._target), True

    def appear_beside(self) -> Path:
        """Put `new` under the next name that is free, `NAME-2`, and return that."""
        is_folder = self.new.is_dir()
        for number in itertools.count(2):
            name, ending = (self.target.name, "") if is_folder else (self.target.stem, self.target.suffix)
            path = self.target.with_name(f"{name}-{number}{ending}")
            with contextlib.suppress(FileExistsError):
                move_new(self.new, self._target.with_name(path.name))
                return path
        raise AssertionError("numbers do not end")

    def write(self, write: Callable[[BinaryIO], object]) -> Path:
        """Make a file, let it appear, and return where it is: the target, or with a warning the next free name.

        Raises:
            OSError: it cannot be written; names the target, which is as it was.
        """
        with naming(self.target), self.open() as file:
            write(file)
        try:
            with naming(self.target):
                self.appear()
        except FileExistsError:
            path = self.appear_beside()
            message = (
                f"{self.target}: something else stands there by now, and is left alone; written to {path}"
            )
            warnings.warn(TargetTaken(message), stacklevel=2)
            return path
        return self.target

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open `new`, a file, to be written; on disk when the block ends."""
        remove(self.new)  # of a write that failed
        with self.new.open("xb") as file:  # made here or not at all; the kernel applies the umask
            yield file
            file.flush()
            os.fsync(file.fileno())

    def _acquire(self) -> Lock:
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return Lock(_beside(self._target, "lock"))
            except BlockingIOError:
                if time.monotonic() > end:
                    message = (
                        f"{self.target}: is being written already, by another process or under the same name twice; "
                        "expected another name, or wait until it is there"
                    )
                    raise InputError(message) from None
            except FileExistsError:  # names what is in the way
                raise
            except OSError as error:
                raise OSError(error.errno, error.strerror or str(error), str(self.target)) from None
            time.sleep(0.02)

    def _replace_folder(self) -> None:
        self._target.rename(self._old)  # first, so that nobody adds to it between a look and its end
        try:
            if standing_at(self._old) != self._seen:
                raise taken(self.target)
            move_new(self.new, self._target)
        except BaseException:
            if not os.path.lexists(self._target):
                self._old.rename(self._target)
            raise
        remove(self._old)


_swept: set[Path] = set()  # folders

# What this process is writing, and which process that was: one that was forked off has none of it.
_held: dict[Claim, int] = {}


def release_all() -> None:
    """Release every claim of this process, which is about to end without coming back to them."""
    for claim in list(_held):
        with contextlib.suppress(OSError):
            claim.release()


def claim_file(target: Path, replaces: bool = True) -> Claim:
    """Claim a file that may be there already.

    Raises:
        InputError: as `check_file` and `Claim`.
        OSError: as `Claim`.
    """
    check_file(target)
    return Claim(target, replaces)


def check_file(target: Path) -> None:
    """Look whether a file may take this name; a device would be lost to it, and what is protected is so for a reason.

    Raises:
        InputError: it is a folder, a device or the like, or protected from being written.
    """
    if target.is_dir():
        raise InputError(f"{target}: is a folder; expected the name of a file")
    if target.exists():
        if not target.is_file():
            raise InputError(f"{target}: is a device or the like; expected the name of a file, there or not")
        if not target.is_symlink() and not os.access(target, os.W_OK):
            raise InputError(f"{target}: is there and write-protected; expected another name")


def draft(target: Path) -> Claim:
    """A claim of a name that nobody else has: for what is moved to its place, `target` or another, by the caller.

    There may be many, in a folder of many files: it is swept once in a process.
    """
    folder = target.absolute().parent
    claim = Claim(target.with_name(f"{target.name}.{os.urandom(4).hex()}"), sweeps=folder not in _swept)
    _swept.add(folder)
    return claim


@contextlib.contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """A folder in `folder` that is gone when the block ends, or, where the process is killed, with the next run."""
    with draft(folder / name) as claim:
        claim.new.mkdir(mode=0o700)
        yield claim.new


def put_new(claim: Claim, next_name: Callable[[], Path]) -> Path:
    """Put a draft under the first name that is free by then, of those that `next_name` comes up with."""
    while True:
        path = next_name()
        with contextlib.suppress(FileExistsError):
            move_new(claim.new, path)
            return path


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left in a folder; what they were replacing goes back to its place."""
    try:
        with os.scandir(folder) as entries:  # of 100,000 pictures, twice as fast as Path.iterdir
            names = [match[1] for entry in entries if (match := _LOCK.fullmatch(entry.name)) is not None]
    except OSError:  # whoever is about to write there will say so
        return
    for name in names:
        target = folder / name
        with contextlib.suppress(OSError):  # it lives, or is somebody else's
            lock = Lock(_beside(target, "lock"), make=False)
            try:
                _clear(target)
            finally:
                lock.drop()


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.latentrt-{kind}")


@contextlib.contextmanager
def naming(target: Path) -> Iterator[None]:
    """Have an OSError that names no file, or a hidden one of ours, name the target."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and not _HIDDEN.search(os.fspath(error.filename)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(target)) from None


def _clear(target: Path) -> None:
    new, old = _beside(target, "new"), _beside(target, "old")
    if os.path.lexists(new) and os.path.lexists(old) and not os.path.lexists(target):
        old.rename(target)
    for path in (old, new, _beside(target, "gone")):
        remove(path)
