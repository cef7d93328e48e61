"""Interleaved rounds: every contender is called once in each round, so that a machine that gets slower meets them all.

Each measurement has a process of its own, which is why its peak memory is its own. Those that fit into memory beside
each other are alive together and take turns; where not all fit, they form groups, one after the other.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

from latentrt_bench.measuring import gpu
from latentrt_bench.measuring.energy import EnergyMeter
from latentrt_bench.measuring.memory import free_memory
from latentrt_bench.measuring.process import Answer, Job, Process, WorkerError
from latentrt_bench.report import Measurement

# ONNX Runtime learns in the first call what memory a call takes, and takes it anew, as one block, in the second: that
# one is slow, and only then has a worker all its memory.
WARMUPS = 2
# A round of short calls has so many that it lasts as long, from 3 (the first finds the caches full of what others did)
MIN_ROUND_S = 1.0
MIN_CALLS, MAX_CALLS = 3, 100
OUT_OF_MEMORY = "out of memory: "  # how the reason begins then,
NOT_STARTED = "not started"  # and goes on where that was known before
CLOCK_S = 0.25  # the worker's clock and ours, around the same call, may differ by the message's way and this


@dataclass(frozen=True)
class Task:
    """One measurement to make: a worker, its method, and where the figures go.

    Attributes:
        name: for progress and warnings: "LDM-4 256x256 step".
        job: what the worker loads.
        measurement: filled as calls return; `status` and `reason` tell what came of it.
        method: of the contender, what is timed.
        needs_bytes: memory that the worker will take, as far as that is known.
        results: filled with what the calls that count return, in the order of the measurement's `rounds`.
        around_load: entered before the worker is loaded and left when it is: what only loading needs, such as a file.
    """

    name: str
    job: Job
    measurement: Measurement
    method: str = "run"
    needs_bytes: int = 0
    around_load: Callable[[], AbstractContextManager[object]] = nullcontext
    results: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What rounds tell beside the figures: which tasks took turns with each other, and what else a reader must know."""

    groups: list[list[str]] = field(default_factory=list)
    clock_warnings: list[str] = field(default_factory=list)
    throttled: set[str] = field(default_factory=set)  # those after whose round the GPU was held back

    @property
    def warnings(self) -> list[str]:
        """One sentence each."""
        groups = [", ".join(group) for group in self.groups if group]
        apart = f"memory did not hold all at once; these took turns with each other: {' | '.join(groups)}"
        hot = f"the GPU was throttled, by heat or power, in rounds of {', '.join(sorted(self.throttled))}"
        return self.clock_warnings + ([apart] if len(groups) > 1 else []) + ([hot] if self.throttled else [])


def run_rounds(
    tasks: Sequence[Task],
    rounds: int,
    warmups: int = WARMUPS,
    tell: Callable[[str], None] = lambda message: None,
    meter: EnergyMeter | None = None,
) -> Outcome:
    """Measure all tasks. Each gets `warmups` calls that do not count, then one or more calls in each round.

    An interrupt leaves what was measured in place. A task that fails is marked as such and the others go on.

    Args:
        tasks: in the order in which they take turns.
        rounds: how many count.
        warmups: calls before; with 0 the first call counts, and shows what a user waits for the first time.
        tell: is told what is being done.
        meter: reads energy around each round; None: energy is not asked for.
    """
    outcome = Outcome()
    waiting, alone = list(tasks), list[Task]()
    while waiting or alone:
        is_together = bool(waiting)
        coming = waiting if is_together else [_anew(alone.pop(0))]
        begun = list(coming)
        with ExitStack() as stack:
            group = _start(coming, warmups, tell, stack, outcome)
            for index in range(rounds):
                for alive in list(group):
                    tell(f"round {index + 1} of {rounds}: {alive.task.name}")
                    if not alive.round(meter):
                        group.remove(alive)
        begun = begun[: len(begun) - len(coming)]
        if is_together and len(begun) > 1:
            alone += [task for task in begun if _starved(task)]
    return outcome


def _starved(task: Task) -> bool:
    """Whether memory ran out for a task that had others beside it, as on a GPU, whose memory is not counted before."""
    reason = task.measurement.reason or ""
    return reason.startswith(OUT_OF_MEMORY) and NOT_STARTED not in reason


def _anew(task: Task) -> Task:
    """The task as if nothing had been tried."""
    task.measurement.status, task.measurement.reason = "measured", None
    for samples in (task.measurement.rounds, task.measurement.warmup, task.results):
        samples.clear()
    return task


class _Alive:
    """A task whose worker is loaded."""

    def __init__(self, task: Task, process: Process, footprint: gpu.Footprint, outcome: Outcome) -> None:
        self.task, self.process, self.outcome = task, process, outcome
        self.calls = 1
        self.footprint = footprint

    def warm_up(self, count: int) -> bool:
        """Make the calls that do not count; from the last, tell how many a round has."""
        for _ in range(count):
            answer = self._call()
            if answer is None:
                return False
            self.task.measurement.warmup.append(answer.seconds)
            if answer.seconds < MIN_ROUND_S:
                self.calls = min(
                    MAX_CALLS, max(MIN_CALLS, math.ceil(MIN_ROUND_S / max(answer.seconds, 1e-9)))
                )
        return True

    def round(self, meter: EnergyMeter | None) -> bool:
        """Make the calls of one round; a round that fails halfway is not kept."""
        seconds, results = [], []
        if meter is not None:
            meter.start()
        for _ in range(self.calls):
            answer = self._call()
            if answer is None:
                return False
            seconds.append(answer.seconds)
            results.append(answer.result)
        used = None if meter is None else meter.joules()
        if gpu.is_throttled():
            self.outcome.throttled.add(self.task.name)
        measurement = self.task.measurement
        measurement.rounds.append(seconds)
        self.task.results.extend(results)
        if used is not None:  # counters move in steps that may be longer than a call
            measurement.joules = [*(measurement.joules or []), used / self.calls]
        return True

    def _call(self) -> Answer | None:
        measurement = self.task.measurement
        self.footprint.begin()
        try:
            answer = self.process.call(self.task.method)
        except WorkerError as error:
            fail(measurement, error)
            return None
        measurement.peak_rss_bytes = answer.peak_rss_bytes
        on_gpu = self.footprint.end(self.process.pid)
        if on_gpu is not None:
            measurement.peak_gpu_bytes = max(on_gpu, measurement.peak_gpu_bytes or 0)
        if not 0 <= answer.seconds <= answer.elapsed or answer.elapsed - answer.seconds > CLOCK_S:
            self.outcome.clock_warnings.append(
                f"{self.task.name}: a call took {answer.seconds:.3g} s by its own clock and {answer.elapsed:.3g} s by "
                "ours: the machine was stopped in between, or a clock is wrong"
            )
        return answer


def fail(measurement: Measurement, error: Exception) -> None:
    """Mark what could not be measured."""
    memory = isinstance(error, WorkerError) and error.out_of_memory
    measurement.fail(f"{OUT_OF_MEMORY}{error}" if memory else str(error))


def _start(
    waiting: list[Task], warmups: int, tell: Callable[[str], None], stack: ExitStack, outcome: Outcome
) -> list[_Alive]:
    """Load the next tasks that fit into memory beside each other, and warm each up; takes them off `waiting`."""
    group: list[_Alive] = []
    while waiting:
        task, free = waiting[0], free_memory()
        if task.needs_bytes > free:
            if group:
                break  # its turn comes when these are through
            waiting.pop(0)
            needs = f"it takes about {task.needs_bytes / 1e9:.3g} GB, {max(free, 0) / 1e9:.3g} GB are free"
            fail(task.measurement, WorkerError(f"{NOT_STARTED}, {needs}", out_of_memory=True))
            continue
        waiting.pop(0)
        tell(f"load {task.name}")
        footprint = gpu.Footprint()
        footprint.begin()
        try:
            with task.around_load():
                process = Process(task.job)
        except (WorkerError, OSError) as error:  # an OSError: a disk that is full
            fail(task.measurement, error)
            continue
        footprint.end(process.pid)
        stack.callback(process.close)
        alive = _Alive(task, process, footprint, outcome)
        if alive.warm_up(warmups):
            group.append(alive)
    outcome.groups.append([alive.task.name for alive in group])
    return group
