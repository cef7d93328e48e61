"""What the command line says beside its results, and how it ends at a signal."""

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

from latentrt.claim import release_all

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


class Ending:
    """How a command is ended by a signal: it cleans up and tells the exit code, 128 and the signal's number.

    The first signal raises KeyboardInterrupt. Native code that goes on for `GRACE_SECONDS` is left behind then; so it
    is at once by a second signal, where this command is all that the process does. What was being written is removed in
    any case.

    Args:
        last: this command is all that the process does, so that waiting for threads at its exit is cut short as well.
    """

    def __init__(self, last: bool) -> None:
        self._last = last
        self._signal = int(signal.SIGINT)  # until another comes: some interrupts are raised by hand
        self._timer: threading.Timer | None = None

    def begin(self, signum: int, frame: FrameType | None) -> None:
        """What the process does at a signal."""
        if self._timer is not None:
            if self._last:
                self._leave()
            return
        self._signal = signum
        self._timer = threading.Timer(GRACE_SECONDS, self._leave)
        self._timer.daemon = True
        self._timer.start()
        raise KeyboardInterrupt

    def done(self) -> int:
        """Say what ended the command; returns the exit code, or where it is the last ends the process at once.

        A thread may still be making a session; an interpreter that ends beneath it makes C++ abort now and then.
        """
        say(f"latentrt: {self._how}")
        if self._last:
            release_all()
            with contextlib.suppress(AttributeError, OSError, ValueError):
                sys.stdout.flush()
            os._exit(self.code)
        return self.code

    def cancel(self) -> None:
        """The command is over, and others of this process may follow."""
        if self._timer is not None and not self._last:
            self._timer.cancel()

    @property
    def code(self) -> int:
        """The exit code: what a shell says of a process that the signal ended."""
        return 128 + self._signal

    @property
    def _how(self) -> str:
        return (
            "interrupted"
            if self._signal == signal.SIGINT
            else f"ended by {signal.Signals(self._signal).name}"
        )

    def _leave(self) -> None:
        release_all()
        os.write(2, f"\nlatentrt: {self._how}\n".encode())
        os._exit(self.code)


def ending_signals() -> list[int]:
    """Those that ask a process to end: of the keyboard, of `kill` or a shutdown, of a terminal that goes."""
    return [int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def ends_at_signals(last: bool) -> Iterator[Ending]:
    """Make Ctrl-C end the command, and with `last` SIGTERM and SIGHUP too; see `Ending`.

    What is ignored, as SIGHUP under `nohup`, or handled by somebody else stays so; and in other threads than the main
    one nothing is changed.
    """
    ending = Ending(last)
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in ending_signals() if last else [int(signal.SIGINT)]:
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                before[number] = signal.signal(number, ending.begin)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ending.cancel()


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
