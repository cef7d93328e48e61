"""What a benchmark found, as data: every raw sample, and where and how it was taken. One JSON file each.

The file's form is `schema.json`, described in docs/benchmarks.md. Its name carries a version, which grows when a
reader of the older form would misread the newer one.
"""

import importlib.resources
import json
import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import jsonschema
from jsonschema.exceptions import best_match

from latentrt.errors import InputError
from latentrt.files import atomic_write

SCHEMA = "latentrt-bench/1"
NOISY = 0.10  # a spread above this share of the median says that the machine was busy with something else
MAX_BYTES = 64 * 2**20  # of a report; real ones have some 100 kB

Status = Literal["measured", "predicted", "failed"]


@dataclass
class Measurement:
    """One thing that was timed in one configuration, or predicted, or that failed.

    Attributes:
        status: "measured", "predicted" from work and rate, or "failed".
        rounds: seconds of every call that counts, by round; a round has one or more calls.
        warmup: seconds of the calls before, which do not count.
        macs: multiply-accumulates of one call, read off the graph for the shapes run.
        bytes_moved: of one call, if each node reads its inputs and writes its outputs once.
        bytes_least: of one call, what must move whatever the kernels do: weights, inputs and outputs once.
        peak_rss_bytes: of the process that did this alone.
        peak_gpu_bytes: likewise on the GPU.
        joules: of a call, the mean of each round, where the machine reports energy.
        predicted_s: seconds of one call, where it was predicted.
        reason: why it failed, or what the prediction rests on.
    """

    status: Status = "measured"
    rounds: list[list[float]] = field(default_factory=list)
    warmup: list[float] = field(default_factory=list)
    macs: int | None = None
    bytes_moved: int | None = None
    bytes_least: int | None = None
    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    joules: list[float] | None = None
    predicted_s: float | None = None
    reason: str | None = None

    def fail(self, reason: str) -> None:
        """Mark it as failed. What it took until then is no memory and no energy that it needs, and goes."""
        self.status, self.reason = "failed", reason
        self.peak_rss_bytes = self.peak_gpu_bytes = self.joules = None

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(calls) for calls in self.rounds if calls]

    @property
    def seconds(self) -> float | None:
        """The median of the rounds' medians, or what was predicted; None where it failed, whatever came before that."""
        if self.status == "predicted":
            return self.predicted_s
        if self.status == "failed":
            return None
        return statistics.median(self.medians) if self.medians else None

    @property
    def spread(self) -> float | None:
        """How far the rounds lie apart: (largest - smallest) / median of their medians; None below two rounds."""
        if len(self.medians) < 2 or not self.seconds:
            return None
        return (max(self.medians) - min(self.medians)) / self.seconds

    @property
    def log_range(self) -> float:
        """The logarithm of the slowest round's median over the fastest one's; there is one round at least, above 0."""
        return math.log(max(self.medians) / min(self.medians))

    @property
    def is_noisy(self) -> bool:
        """Whether the spread is above 10 %."""
        return self.spread is not None and self.spread > NOISY

    @property
    def macs_per_second(self) -> float | None:
        """The compute rate reached; None where it was not measured."""
        if self.status != "measured" or self.macs is None or not self.seconds:
            return None
        return self.macs / self.seconds


@dataclass
class Row:
    """One configuration: what it is, and what was measured of it, by name ("step", "decode", …)."""

    name: str
    configuration: dict[str, Any]
    measurements: dict[str, Measurement] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def memory_bytes(self, name: str | None = None) -> int | None:
        """The peak memory of a measurement, or the most of all: the GPU's, where one computes; None: not known."""
        measurements = [m for n, m in self.measurements.items() if name in (None, n)]
        on_gpu = self.configuration.get("provider") == "cuda"
        peaks = [m.peak_gpu_bytes if on_gpu else m.peak_rss_bytes for m in measurements]
        return max((peak for peak in peaks if peak is not None), default=None)


@dataclass
class Report:
    """One run of one benchmark.

    Attributes:
        benchmark: "latent-vs-pixel", "model" or "peers".
        command: what was called, word by word.
        started: UTC, ISO 8601.
        seconds: how long it took, wall clock.
        complete: False where it was interrupted; the rows are those that were finished.
        machine: processor, cores, memory, GPUs.
        versions: of latentrt, Python and the packages that compute.
        settings: what was asked.
        conditions: what may have disturbed it: battery, throttling, other load.
        ceilings: the machine's own limits, measured in the same run.
        rows: the configurations.
        warnings: what a reader has to know before believing a figure, one sentence each.
        derived: what follows from the rows; see each benchmark.
    """

    benchmark: str
    command: list[str]
    started: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    seconds: float = 0.0
    complete: bool = False
    conditions: dict[str, Any] = field(default_factory=dict)
    ceilings: dict[str, Any] | None = None
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    derived: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        with atomic_write(path) as file:
            file.write(self.to_json().encode())


def read_report(path: Path) -> Report:
    """Read a report.

    Raises:
        InputError: no such file, not JSON, of another schema, or not of its form; says where.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes; no report of a benchmark is")
        data = json.loads(path.read_bytes(), parse_float=_number, parse_constant=_number)
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{path}: {why}; expected a report that `latentrt bench … --out` wrote") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise InputError(f"{path}: expected a report with schema {SCHEMA!r}, found {found!r}")
    problem = best_match(_validator().iter_errors(data))
    if problem is not None:
        where = "/".join(map(str, problem.absolute_path)) or "the report itself"
        raise InputError(f"{path}: {where}: {problem.message}")
    del data["schema"]
    rows = [
        Row(**{**row, "measurements": {n: Measurement(**m) for n, m in row["measurements"].items()}})
        for row in data.pop("rows")
    ]
    return Report(**data, rows=rows)


def _number(text: str) -> float:
    """Python's reader takes NaN, Infinity and 1e999, none of which is a number of JSON or fits one of ours."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _validator() -> jsonschema.Draft202012Validator:
    text = importlib.resources.files("latentrt_bench").joinpath("schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))
