"""What the command line says beside its results, and how it ends when interrupted."""

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

# A network that a provider runs as one node cannot be stopped inside; after this many seconds we leave without it.
GRACE_SECONDS = 1.5


def say(message: str) -> None:
    """One line on stderr."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """A warning on stderr."""
    say(f"latentrt: warning: {message}")


def fail(message: str, code: int = 1) -> int:
    """An error on stderr, on one line whatever libraries say; returns the exit code."""
    say(f"latentrt: error: {' '.join(line.strip() for line in message.splitlines() if line.strip())}")
    return code


@contextlib.contextmanager
def progress_line(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows messages on one line of stderr, each in place of the last, gone at the end; on terminals only."""
    shown = sys.stderr.isatty() and not quiet

    def show(message: str) -> None:
        if shown:
            print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        show("")


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print Python's warnings as ours, without file and line."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        warn(str(message))

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


@contextlib.contextmanager
def ends_at_ctrl_c(last: bool) -> Iterator[None]:
    """Make Ctrl-C end the command: as KeyboardInterrupt, or after `GRACE_SECONDS` without waiting for native code.

    `last`: this command is all that the process does, so that waiting for threads at its exit is cut short as well.
    Where SIGINT is ignored or handled by somebody else, and in other threads than the main one, nothing is changed.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    timers: list[threading.Timer] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        timers.append(threading.Timer(GRACE_SECONDS, _leave))
        timers[-1].daemon = True
        timers[-1].start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not last:
            for timer in timers:
                timer.cancel()


def interrupted(last: bool) -> int:
    """Say that Ctrl-C ended the command; returns the exit code, or with `last` ends the process at once.

    A thread may still be making a session; an interpreter that ends beneath it makes C++ abort now and then.
    """
    say("latentrt: interrupted")
    if last:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
        os._exit(130)
    return 130


def _leave() -> None:
    os.write(2, b"\nlatentrt: interrupted\n")
    os._exit(130)


def take_any_path() -> None:
    """Let paths be printed that are no text in the terminal's encoding, as they came in."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def drop_stdout() -> None:
    """Let nothing more be written to stdout, not even at exit, where a failure would be printed."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # no stdout at all, or one that is no file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
