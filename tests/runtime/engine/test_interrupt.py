"""Ctrl-C while native code runs: the work is asked to end, and waited for."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import latentrt
from latentrt.engine.interrupt import Cancellation, Cancelled, interruptible


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


def here(work):
    """What `work` raises, or returns."""
    try:
        return work()
    except BaseException as error:
        return error


def in_a_thread(work):
    """The same in another thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(here, work).result()


def covered(cancellation, work, cancel):
    with cancellation.covering():
        return interruptible(work, cancel)


@pytest.mark.parametrize("run", [here, in_a_thread])
def test_another_thread_ends_the_work_in_any_thread(run):
    cancellation, stop, ended = Cancellation(), threading.Event(), []

    def work():
        stop.wait()
        ended.append(True)
        raise RuntimeError("terminated")  # as ONNX Runtime says it

    threading.Timer(0.1, cancellation.cancel).start()
    error = run(lambda: covered(cancellation, work, stop.set))
    assert isinstance(error, Cancelled)
    assert isinstance(error.__cause__, RuntimeError)
    assert ended == [True]


def test_what_would_follow_is_not_begun():
    cancellation, begun = Cancellation(), []
    cancellation.cancel()
    with pytest.raises(Cancelled):
        covered(cancellation, lambda: begun.append(True), lambda: None)
    assert begun == []


def test_a_failure_of_its_own_stays_what_it_is():
    with pytest.raises(ZeroDivisionError):
        covered(Cancellation(), lambda: 1 / 0, lambda: None)


def test_what_is_not_covered_goes_on():
    cancellation = Cancellation()
    cancellation.cancel()
    assert in_a_thread(lambda: interruptible(lambda: 3, lambda: None)) == 3
    with pytest.raises(Cancelled):
        covered(cancellation, lambda: 3, lambda: None)
    assert interruptible(lambda: 3, lambda: None) == 3


def test_a_network_ends_in_the_middle_of_its_run(random_model):
    """And what it was part of can be started anew."""
    cancellation = Cancellation()
    with latentrt.load(random_model, device="cpu") as pipeline:

        def paint():
            with cancellation.covering():
                for _ in pipeline.start_txt2img("red", seed=0, width=64, height=64, num_inference_steps=50):
                    stepped.set()

        stepped = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(paint)
            assert stepped.wait(60)
            cancellation.cancel()
            assert isinstance(future.exception(), Cancelled)
        assert len(pipeline.txt2img("red", seed=0, width=64, height=64, num_inference_steps=1).images) == 1
