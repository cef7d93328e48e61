"""What is said while a model is fetched: lines, and whether bars are shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def say(message: str) -> None:
    """One line on stderr."""
    if not _quiet.get():
        print(f"latentrt: {message}", file=sys.stderr, flush=True)


def shows_bars() -> bool:
    """Whether bars of progress are shown: on terminals."""
    return not _quiet.get() and sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def quiet(on: bool = True) -> Iterator[None]:
    """Say nothing, and show nothing."""
    token = _quiet.set(on)
    try:
        yield
    finally:
        _quiet.reset(token)
