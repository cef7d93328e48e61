"""The machine's own limits, measured through ONNX Runtime: how fast it multiplies, how fast it moves memory.

A limit must be one that no network passes: it is the best call of the best kernel, not a median. For multiplication
these are products of matrices and 3x3 convolutions with constant weights, four in a row so that the cost of a call
counts little. For memory they are a copy (a product with a scalar, so that nothing can be aliased) and two kernels that
only read, since a copy also moves what a processor fetches before it overwrites it. Inputs and outputs are made before,
on the device.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from latentrt.engine.providers import Provider, choose
from latentrt_bench.limits.caches import cache_bytes
from latentrt_bench.limits.kernels import Kernel, convolutions, matrices, memory_kernels
from latentrt_bench.report import Report

Clock = Callable[[], float]

SIZES_KEPT = 3  # of each kind, the largest
MOST_CALLS = 5  # of one kernel in a round
LONGEST_CALL = 1 / 20  # of all the time
LEAST_ARRAY, LARGEST_ARRAY = 128 << 20, 1 << 30  # bytes; in between, CACHES times what the caches hold
CACHES = 4


@dataclass(frozen=True)
class Ceilings:
    """Limits of one provider in one type.

    Attributes:
        macs_per_s: multiplications with their additions, at the best.
        bytes_per_s: read + written, at the best.
        cache_bytes: what caches may hold from one call to the next; as much is not known to come from memory.
        detail: rates of every call that counts, by kernel: "matmul …" and "conv …" in MAC/s, "copy …" and "read …" in
            bytes/s.
    """

    macs_per_s: float
    bytes_per_s: float
    cache_bytes: int
    detail: dict[str, list[float]]


def measure_ceilings(
    provider: Provider, dtype: str, rounds: int = 3, seconds: float = 6.0, clock: Clock = time.perf_counter
) -> Ceilings:
    """Measure in `rounds` interleaved rounds over all kernels, about `seconds` in all.

    Args:
        provider: what runs it.
        dtype: "fp16", "fp32" or "int8", of the products; bytes are moved as float32, which they do not depend on.
        rounds: how often each kernel has its turn.
        seconds: of the calls that count; making the kernels takes up to as long again.
        clock: seconds.
    """
    cached = cache_bytes(provider.name)
    size = LEAST_ARRAY if cached is None else min(max(LEAST_ARRAY, CACHES * cached), LARGEST_ARRAY)
    longest = seconds * LONGEST_CALL
    compute = [
        *largest(matrices(provider, dtype), longest, clock),
        *largest(convolutions(provider, dtype), longest, clock),
    ]
    memory = memory_kernels(provider, size)
    for kernel in memory:
        kernel.call()
    detail = sample([*compute, *memory], rounds, seconds, clock)
    return Ceilings(
        max(rate for kernel in compute for rate in detail[kernel.name]),
        max(rate for kernel in memory for rate in detail[kernel.name]),
        size if cached is None else cached,
        detail,
    )


def add_ceilings(report: Report, pairs: Iterable[tuple[str, str]], tell: Callable[[str], None]) -> None:
    """Measure the limits of providers and types into a report; what it has already is kept where it is better.

    Measured at both ends of a run, for what runs beside us at the beginning may be gone in the end.
    """
    report.ceilings = {} if report.ceilings is None else report.ceilings
    for device, dtype in sorted(pairs):
        tell(f"this machine's limits: {device} {dtype}")
        name, found = f"{device} {dtype}", asdict(measure_ceilings(choose(device), dtype))
        report.ceilings[name] = _better(report.ceilings.get(name, found), found)


def _better(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both measurements' samples, and of each rate the higher."""
    if one is other:
        return one
    detail = {
        kernel: [*one["detail"].get(kernel, []), *other["detail"].get(kernel, [])]
        for kernel in {**one["detail"], **other["detail"]}
    }
    rates = {name: max(one[name], other[name]) for name in ("macs_per_s", "bytes_per_s")}
    return {**one, **rates, "detail": detail}


def sample(
    kernels: Sequence[Kernel], rounds: int, seconds: float, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Rates of every call by kernel: in each round each has its turn, as long as its share lasts, at least once."""
    share = seconds / (rounds * len(kernels))
    rates: dict[str, list[float]] = {kernel.name: [] for kernel in kernels}
    for _ in range(rounds):
        for kernel in kernels:
            spent, calls = 0.0, 0
            while calls == 0 or (spent < share and calls < MOST_CALLS):
                took = _timed(kernel, clock)
                rates[kernel.name].append(kernel.work / took)
                spent += took
                calls += 1
    return rates


def largest(kernels: Iterator[Kernel], longest: float, clock: Clock = time.perf_counter) -> list[Kernel]:
    """The last few of kernels of growing work whose calls take no longer than `longest` seconds; always the first."""
    kept: list[Kernel] = []
    took = 0.0
    for kernel in kernels:
        if kept and took * kernel.work / kept[-1].work > longest:
            break
        kernel.call()  # a first call also allocates and chooses algorithms
        took = _timed(kernel, clock)
        kept = [*kept, kernel][-SIZES_KEPT:]
    return kept


def _timed(kernel: Kernel, clock: Clock) -> float:
    started = clock()
    kernel.call()
    return clock() - started
