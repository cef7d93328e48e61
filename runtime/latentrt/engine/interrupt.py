"""Ctrl-C in the middle of native code.

Python handles signals between bytecodes of the main thread; a native call there would hold them until it returns, which
for a large network is many seconds. So the call is made in a thread, and the main thread waits, where it can be
interrupted.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def interruptible(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """Do `work` and return or raise what it does; a KeyboardInterrupt arrives while it runs.

    Args:
        work: called in a thread of its own where this is the main thread, else directly.
        cancel: asks `work` to end soon; it is then waited for. Without it `work` goes on, and ends with the process.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    failures: list[BaseException] = []

    done = (
        threading.Event()
    )  # not Thread.join: one that is interrupted takes the thread for ended (Python 3.11)

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
