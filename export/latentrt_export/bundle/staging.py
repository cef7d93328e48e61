"""A folder that is made beside its place and appears there whole; who makes it has claimed that place before."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from latentrt.claim import Claim
from latentrt.errors import InputError, LatentrtError


@contextlib.contextmanager
def staged(target: Path, check: Callable[[Path], None] = lambda target: None) -> Iterator[Path]:
    """A new folder to fill: it takes the place of `target` when the block ends, and is gone when that fails.

    What stands at `target` when this begins, and passes `check`, is replaced; what appears there later never is.

    Args:
        target: the folder; those above it are made.
        check: raises what there is to say against replacing what stands at `target`; nobody of us writes there then.

    Raises:
        InputError: nothing can be written beside `target`, or another process is writing there; or by `check`.
        LatentrtError: writing failed, as when the disk is full, and `target` is as it was; or something else has
            appeared there, and the new folder stands beside it.
    """
    with contextlib.ExitStack() as held:
        try:
            for folder in reversed([parent for parent in target.parents if not parent.exists()]):
                folder.mkdir(exist_ok=True)
                held.callback(_remove_empty, folder)
            claim = held.enter_context(Claim(target, replaces=True))
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
        check(target)
        try:
            claim.new.mkdir()
            yield claim.new
            try:
                claim.appear()
            except FileExistsError:
                beside = claim.appear_beside()
                raise LatentrtError(
                    f"{target}: something else has appeared there, or was changed, while the bundle was made; it is "
                    f"left alone, and the bundle is in {beside}"
                ) from None
        except OSError as error:
            raise LatentrtError(f"{target}: {error.strerror or error}; nothing was written") from error


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds what was made for it
        folder.rmdir()
