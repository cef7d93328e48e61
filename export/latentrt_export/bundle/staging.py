"""A folder appears whole or not at all: made in a hidden one beside its place, then renamed.

The hidden one is `.OUT.k3v9x_a1.part`, locked while its process lives, so that the next one can tell what was left
behind. In it `new` is what is being made, and `old` what that replaces, for the moment between two renames.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from latentrt.errors import InputError, LatentrtError

try:
    import fcntl
except ImportError:  # Windows: what was left cannot be told from what is in use, and stays
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A new folder to fill: it takes the place of `target` when the block ends, and is gone when that fails.

    Raises:
        InputError: nothing can be written beside `target`.
        LatentrtError: writing failed, as when the disk is full; `target` is as it was.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".made", dir=target.parent))
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    with _locked(made):
        part = made.rename(made.with_suffix(".part"))  # which is the name that `sweep` looks for
        try:
            new, old = part / "new", part / "old"
            new.mkdir()
            yield new
            if target.exists():
                target.rename(old)
            new.rename(target)
        except OSError as error:
            raise LatentrtError(f"{target}: {error.strerror or error}; nothing was written") from error
        finally:
            _remove(part, target)


def sweep(target: Path) -> None:
    """Remove what processes that were killed left beside `target`; what they were replacing goes back to its place."""
    # Eight characters are tempfile's: `.OUT.old.k3v9x_a1.part` is of another folder, OUT.old.
    pattern = re.compile(rf"\.{re.escape(target.name)}\.\w{{8}}\.part")
    for part in target.parent.iterdir() if target.parent.is_dir() else ():
        if pattern.fullmatch(part.name) and part.is_dir():
            with _locked(part) as ours:
                if ours:
                    _remove(part, target)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, at most as long as this process lives; False where it cannot be had."""
    with contextlib.ExitStack() as held:
        ours = False
        if fcntl is not None:
            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = True
        yield ours


def _remove(part: Path, target: Path) -> None:
    if (part / "new").exists() and (part / "old").exists() and not target.exists():
        (part / "old").rename(target)
    for _ in range(10):  # an interrupted writer may still make a file while the folder is taken down
        shutil.rmtree(part, ignore_errors=True)
        if not part.exists():
            break
        time.sleep(0.05)
