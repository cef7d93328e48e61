"""Loading the networks from files that the system's cache holds, and from files that it does not."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from latentrt_bench.measuring.file_cache import Proof
from latentrt_bench.measuring.gpu import Footprint
from latentrt_bench.measuring.process import Answer, Job, Process, WorkerError
from latentrt_bench.measuring.rounds import fail
from latentrt_bench.model.configuration import Configuration
from latentrt_bench.model.derive import COLD, WARM
from latentrt_bench.report import Measurement

TARGET = "latentrt_bench.model.stages:Load"
# State of the cache -> the method that brings it about, and what tells that it has not.
PREPARE: dict[str, tuple[str, Callable[[Proof], str | None]]] = {
    COLD: ("empty_cache", lambda proof: proof.why_not_cold),
    WARM: ("fill_cache", lambda proof: proof.why_not_warm),
}


@dataclass(frozen=True)
class LoadTask:
    """One network to load, again and again.

    Attributes:
        cache: `COLD` or `WARM`.
        stage: of `stages.work`: the sizes that the session is made for.
        configuration: of the model.
        measurement: filled as processes return.
        proofs: of each round, what the cache held.
    """

    cache: str
    stage: str
    configuration: Configuration
    measurement: Measurement
    proofs: list[dict[str, Any]] = field(default_factory=list)


def run_loads(tasks: Sequence[LoadTask], rounds: int, tell: Callable[[str], None]) -> None:
    """Load each once in each round, in a process of its own, while no other of ours has the files.

    A second load in the same process would find memory that the first has freed, which no user's does.
    """
    for index in range(rounds):
        for task in tasks:
            if task.measurement.status == "measured":
                tell(f"round {index + 1} of {rounds}: {task.cache}{task.stage}, {task.configuration.name}")
                try:
                    _load(task)
                except WorkerError as error:
                    fail(task.measurement, error)


def _load(task: LoadTask) -> None:
    prepare, why_not = PREPARE[task.cache]
    arguments = {"stage": task.stage, "configuration": asdict(task.configuration)}
    footprint = Footprint()
    footprint.begin()
    process = Process(Job(TARGET, arguments))
    try:
        process.call(prepare)
        answer: Answer = process.call("load")
        on_gpu = footprint.end(process.pid)
        proof = Proof(**process.call("proof").result)
    finally:
        process.close()
    task.proofs.append(asdict(proof))
    reason = why_not(proof)
    if reason is not None:
        raise WorkerError(reason)
    task.measurement.rounds.append([answer.seconds])
    m = task.measurement
    m.peak_rss_bytes = _larger(m.peak_rss_bytes, answer.peak_rss_bytes)
    m.peak_gpu_bytes = _larger(m.peak_gpu_bytes, on_gpu)


def _larger(one: int | None, other: int | None) -> int | None:
    return max((size for size in (one, other) if size is not None), default=None)
