"""Timing, against contenders of known duration."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt_bench.measuring import rounds
from latentrt_bench.measuring.process import Job, Process, WorkerError
from latentrt_bench.measuring.rounds import Task, run_rounds
from latentrt_bench.peers.environment import clean_environment
from latentrt_bench.report import Measurement

STAND_IN = Path(__file__).parents[1] / "stand_in.py"


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of what users wait for."""
    monkeypatch.setattr(rounds, "MIN_ROUND_S", 0.1)


def job(kind: str, limit_s: float = 30.0, **arguments: object) -> Job:
    return Job(f"{STAND_IN}:{kind}", arguments, limit_s=limit_s)


def task(kind: str, called: str = "x", **arguments: object) -> Task:
    return Task(called, job(kind, **arguments), Measurement())


def test_measures_what_a_call_takes() -> None:
    """0.2 s of sleep are 0.2 s; the upper bounds leave room for a busy machine."""
    sleeper = task("Sleeper", seconds=[0.2])
    run_rounds([sleeper], rounds=3)
    measurement = sleeper.measurement
    assert [len(calls) for calls in measurement.rounds] == [1, 1, 1]
    assert len(measurement.warmup) == rounds.WARMUPS
    assert all(0.2 <= call < 0.5 for calls in measurement.rounds for call in calls)
    assert measurement.seconds is not None and 0.2 <= measurement.seconds < 0.5
    assert measurement.status == "measured"


def test_slow_first_calls_do_not_count() -> None:
    sleeper = task("Sleeper", seconds=[1.0, 0.7, 0.15])
    run_rounds([sleeper], rounds=2)
    first, second = sleeper.measurement.warmup
    assert first >= 1.0 > second >= 0.7
    assert all(0.15 <= call < 0.5 for calls in sleeper.measurement.rounds for call in calls)


def test_without_warm_up_the_first_call_counts() -> None:
    sleeper = task("Sleeper", seconds=[0.5, 0.1])
    run_rounds([sleeper], rounds=2, warmups=0)
    assert sleeper.measurement.warmup == []
    assert sleeper.measurement.rounds[0][0] >= 0.5 > sleeper.measurement.rounds[1][0]


def test_rounds_are_interleaved(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    tasks = [
        task("Sleeper", name, seconds=[0.11], journal=str(journal), name=name) for name in ("a", "b", "c")
    ]
    outcome = run_rounds(tasks, rounds=3)
    assert "".join(journal.read_text().split()) == "aabbcc" + "abc" * 3  # the first are the warm-ups
    assert outcome.groups == [["a", "b", "c"]]


def test_short_calls_fill_a_round_up_to_a_number() -> None:
    short, shortest = task("Sleeper", seconds=[0.03]), task("Sleeper", seconds=[0.0001])
    run_rounds([short, shortest], rounds=2)
    assert [len(calls) for calls in short.measurement.rounds] in ([4, 4], [3, 3])  # 0.03 s and a little
    assert [len(calls) for calls in shortest.measurement.rounds] == [rounds.MAX_CALLS] * 2


@given(
    st.lists(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5), min_size=2, max_size=5),
    st.lists(st.floats(1e-3, 1e6), max_size=3),
)
def test_median_of_the_rounds_medians(samples: list[list[float]], warmup: list[float]) -> None:
    """Against a computation by hand; warm-ups change nothing, nor does the order of rounds."""

    def median(values: list[float]) -> float:
        ordered = sorted(values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    medians = [median(calls) for calls in samples]
    measurement = Measurement(rounds=samples, warmup=warmup)
    assert measurement.seconds == pytest.approx(median(medians))
    assert measurement.spread == pytest.approx((max(medians) - min(medians)) / median(medians))
    assert measurement.is_noisy == (measurement.spread > 0.10)
    assert Measurement(rounds=samples[::-1]).seconds == measurement.seconds


def test_one_round_has_no_spread() -> None:
    assert Measurement(rounds=[[1.0, 9.0]]).spread is None


def test_noise_is_a_spread_above_a_tenth() -> None:
    assert Measurement(rounds=[[1.0], [1.2], [1.0]]).is_noisy
    assert not Measurement(rounds=[[1.0], [1.09], [1.0]]).is_noisy


@pytest.mark.parametrize(
    ("how", "reason", "out_of_memory"),
    [
        ("raise", "ValueError: no such kernel", False),
        ("memory", "MemoryError", True),
        ("allocator", "Failed to allocate", True),
        ("kill", "killed by the system", True),
        ("segfault", "killed by SIGSEGV: last words", False),
        ("exit", "exit code 3: last words", False),
    ],
)
def test_a_failure_is_a_row_and_the_others_go_on(how: str, reason: str, out_of_memory: bool) -> None:
    broken, fine = task("Failing", how=how, at=rounds.WARMUPS + 1), task("Sleeper", seconds=[0.1])
    run_rounds([broken, fine], rounds=2)
    assert broken.measurement.status == "failed"
    assert reason in (broken.measurement.reason or "")
    assert (broken.measurement.reason or "").startswith(rounds.OUT_OF_MEMORY) == out_of_memory
    assert "\n" not in (broken.measurement.reason or "")
    assert fine.measurement.status == "measured"
    assert len(fine.measurement.rounds) == 2


def test_a_failure_while_loading_is_a_row() -> None:
    broken = task("Failing", how="raise", at=0)
    run_rounds([broken], rounds=1)
    assert (broken.measurement.status, broken.measurement.reason) == ("failed", "ValueError: no such kernel")


def test_a_hanging_call_is_given_up() -> None:
    hanging = Task("x", job("Failing", limit_s=1.0, how="hang"), Measurement())
    started = time.perf_counter()
    run_rounds([hanging], rounds=1)
    assert time.perf_counter() - started < 20
    assert (hanging.measurement.status, hanging.measurement.reason) == ("failed", "given up after 1 s")


def test_what_does_not_fit_is_not_started() -> None:
    large, small = task("Sleeper", "large", seconds=[0.1]), task("Sleeper", "small", seconds=[0.1])
    large = Task(large.name, large.job, large.measurement, needs_bytes=2**60)
    run_rounds([large, small], rounds=1)
    assert large.measurement.status == "failed"
    assert (large.measurement.reason or "").startswith("out of memory: not started, it takes about")
    assert small.measurement.status == "measured"


def test_groups_where_not_all_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Room for two: the third takes its turns when they are through, and the reader is told."""
    alive: Counter[str] = Counter()
    monkeypatch.setattr(rounds, "free_memory", lambda: 20 - 10 * alive["now"])

    class Counted(Process):
        def __init__(self, job: Job) -> None:
            super().__init__(job)
            alive["now"] += 1

        def close(self) -> None:
            super().close()
            alive["now"] -= 1

    monkeypatch.setattr(rounds, "Process", Counted)
    journal = tmp_path / "journal"
    tasks = [
        Task(n, job("Sleeper", seconds=[0.11], journal=str(journal), name=n), Measurement(), needs_bytes=10)
        for n in "abc"
    ]
    outcome = run_rounds(tasks, rounds=2)
    assert "".join(journal.read_text().split()) == "aabb" + "abab" + "cccc"
    assert outcome.groups == [["a", "b"], ["c"]]
    (told,) = outcome.warnings
    assert told.endswith("took turns with each other: a, b | c")


def test_what_starved_beside_others_is_tried_alone(tmp_path: Path) -> None:
    crowded = task("Crowded", "crowded", marker=str(tmp_path / "marker"))
    other = task("Sleeper", "other", seconds=[0.11])
    outcome = run_rounds([crowded, other], rounds=2)
    assert (crowded.measurement.status, len(crowded.measurement.rounds)) == ("measured", 2)
    assert len(crowded.measurement.warmup) == rounds.WARMUPS
    assert outcome.groups == [["crowded", "other"], ["crowded"]]


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_a_clock_that_runs_wrong_is_told(factor: float) -> None:
    """Slow or fast: what the worker says does not agree with the time that passed here."""
    wrong = task("WrongClock", "wrong", factor=factor)
    outcome = run_rounds([wrong], rounds=1)
    assert outcome.warnings
    assert all(warning.startswith("wrong: a call took") for warning in outcome.warnings)


def test_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone sets it back by an hour in the middle of a run."""
    hours = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: -3600.0 * next(hours))
    sleeper = task("Sleeper", seconds=[0.11])
    outcome = run_rounds([sleeper], rounds=2)
    assert not outcome.warnings
    assert all(0.11 <= call < 0.4 for calls in sleeper.measurement.rounds for call in calls)


def test_an_interrupt_keeps_the_finished_rounds() -> None:
    first, second = task("Sleeper", "first", seconds=[0.11]), task("Sleeper", "second", seconds=[0.11])

    def tell(message: str) -> None:
        if message == "round 2 of 3: second":
            raise KeyboardInterrupt

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        run_rounds([first, second], rounds=3, tell=tell)
    assert (len(first.measurement.rounds), len(second.measurement.rounds)) == (2, 1)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_peak_memory_is_the_workers_own() -> None:
    """Neither ours, which it was forked from, nor that of the worker beside it; what was given back counts."""
    ballast = bytearray(500_000_000)
    ballast[::4096] = b"\1" * len(ballast[::4096])
    small, large = task("Hoarder", size=10**6), task("Hoarder", size=2 * 10**8)
    run_rounds([small, large], rounds=1)
    peaks = small.measurement.peak_rss_bytes, large.measurement.peak_rss_bytes
    if None in peaks:
        pytest.skip("this system does not tell a process's peak memory")
    assert len(ballast) > 0
    assert peaks[0] < 10**8
    assert 1.9e8 < peaks[1] - peaks[0] < 2.1e8


def test_answers_are_not_mixed_with_what_is_printed() -> None:
    with contextlib.closing(Process(job("Talker"))) as process:
        assert process.call("run").result == "an answer"


def test_nobody_s_onnxruntime_sends_events() -> None:
    """Workers and peers' environments inherit what `import latentrt` has set."""
    process = Process(job("Surroundings"))
    try:
        assert process.call("run").result["ORT_DISABLE_TELEMETRY"] == os.environ["ORT_DISABLE_TELEMETRY"]
    finally:
        process.close()
    assert clean_environment()["ORT_DISABLE_TELEMETRY"] == os.environ["ORT_DISABLE_TELEMETRY"]


def test_a_worker_ends_with_its_parent() -> None:
    """Killed without a chance to clean up: the worker reads the end of its input and goes."""
    code = (
        "import time; from latentrt_bench.measuring.process import *; "
        f"p = Process(Job({str(STAND_IN) + ':Sleeper'!r}, {{'seconds': [0.01]}})); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        worker.wait(timeout=20)


def test_a_missing_interpreter_is_told() -> None:
    with pytest.raises((WorkerError, OSError), match="no-such-python"):
        Process(Job("x:y", python="/no-such-python"))
