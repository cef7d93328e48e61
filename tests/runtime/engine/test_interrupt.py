"""Ctrl-C while native code runs: the work is asked to end, and waited for."""

import os
import signal
import threading
import time

import pytest

from latentrt.engine.interrupt import interruptible


def interrupt_soon():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_returns_and_raises_what_the_work_does():
    assert interruptible(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0)


def test_the_work_has_ended_when_the_interrupt_arrives():
    stop, ended = threading.Event(), []

    def work():
        stop.wait()
        time.sleep(0.3)  # a node that was under way
        ended.append(True)

    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        interruptible(work, stop.set)
    assert ended == [True]


def test_what_cannot_be_asked_is_not_waited_for():
    forever = threading.Event()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        interruptible(forever.wait)
    forever.set()


def test_other_threads_call_directly():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(interruptible(threading.current_thread)))
    thread.start()
    thread.join()
    assert seen == [thread]
