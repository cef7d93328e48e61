"""Native code that is ended while it runs: by Ctrl-C, or by another thread.

Python handles signals between bytecodes of the main thread; a native call there would hold them until it returns, which
for a large network is many seconds. So the call is made in a thread, and the main thread waits, where it can be
interrupted. Work in another thread is ended through the `Cancellation` that covers it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


class Cancelled(BaseException):
    """The work was ended on demand; no Exception, so that nobody takes it for a failure."""


class Cancellation:
    """A way to end what one thread computes from another.

    >>> cancellation = Cancellation()
    >>> with cancellation.covering():  # in the thread that computes; `Cancelled` is raised here
    ...     result = generation.result()
    >>> cancellation.cancel()  # in another
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._running: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """End the networks that run under this at their next node, and refuse those that would follow."""
        with self._lock:
            self._cancelled = True
            for end in self._running:
                end()

    @contextmanager
    def covering(self) -> Iterator[None]:
        """Make what this thread computes in the block end with `Cancelled` once it is cancelled."""
        token = _cancellation.set(self)
        try:
            yield
        finally:
            _cancellation.reset(token)

    @contextmanager
    def running(self, end: Callable[[], None]) -> Iterator[None]:
        """The block is native work, which `end` asks to end soon."""
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._running.append(end)
        try:
            yield
        except Exception as error:
            if self._cancelled:
                raise Cancelled from error
            raise
        finally:
            with self._lock:
                self._running.remove(end)


_cancellation: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


def interruptible(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """Do `work` and return or raise what it does; a KeyboardInterrupt arrives while it runs.

    Args:
        work: called in a thread of its own where this is the main thread, else directly.
        cancel: asks `work` to end soon; it is then waited for. Without it `work` goes on, and ends with the process.

    Raises:
        Cancelled: it is covered by a `Cancellation` that was cancelled.
    """
    cancellation = _cancellation.get()
    if cancellation is not None and cancel is not None:
        with cancellation.running(cancel):
            return _waited_for(work, cancel)
    return _waited_for(work, cancel)


def _waited_for(work: Callable[[], T], cancel: Callable[[], None] | None) -> T:
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    failures: list[BaseException] = []
    # Not Thread.join: one that is interrupted takes the thread for ended (Python 3.11).
    done = threading.Event()

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    threading.Thread(target=target, daemon=True).start()
    try:
        done.wait()
    except KeyboardInterrupt:
        if cancel is not None:
            cancel()
            done.wait()
        raise
    if failures:
        raise failures[0]
    return results[0]
