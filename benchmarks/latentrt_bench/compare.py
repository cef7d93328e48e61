"""Two runs of one benchmark side by side, and which of their differences are more than noise.

The samples of a run are the medians of its rounds, which lie (largest / smallest) apart. Two runs differ beyond the
noise where their medians are further apart than both runs' rounds together, and than `FLOOR`. For rounds that vary by
chance alone (normal, 200,000 drawn pairs of runs) that calls a difference where there is none in 13 % of the
comparisons with 2 rounds a run, in 1.4 % with 3, in 0.01 % with 5; so below `MIN_ROUNDS` nothing is called. What
other programs had of the processor's time may have been taken from any measurement, and widens the noise by as much.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latentrt.errors import InputError
from latentrt_bench.display import figures
from latentrt_bench.display.sheet import Cell, Sheet, as_text, cells
from latentrt_bench.report import Measurement, Report, read_report

MIN_ROUNDS = 3
FLOOR = 0.03  # rounds of one run agree better than runs do, which start processes and lay out memory anew
MOST_TAKEN = 0.99  # of the processor's time: the logarithm ends there
UNIMPORTANT = frozenset({"energy_sources"})  # of a machine: says what is told, not how fast it is

EXAMPLES = """\
examples:
  latentrt bench compare before.json after.json
  latentrt bench compare before.json after.json --json | jq '.lines[] | select(.verdict == "slower")'
"""


@dataclass(frozen=True)
class Line:
    """One measurement of both runs.

    Attributes:
        row: the configuration's name.
        measurement: its name.
        before: seconds in the first run; None where there are none.
        after: seconds in the second.
        ratio: after / before.
        noise: the ratio above which a difference counts; None where it cannot be told.
        verdict: "faster", "slower", "within noise"; or why there is none.
        before_bytes: peak memory in the first run. It is told, not judged: a run has one sample of it.
        after_bytes: likewise in the second.
    """

    row: str
    measurement: str
    before: float | None
    after: float | None
    ratio: float | None
    noise: float | None
    verdict: str
    before_bytes: int | None
    after_bytes: int | None


@dataclass(frozen=True)
class Comparison:
    """All lines, and what else differs between the runs, one sentence each."""

    lines: list[Line]
    warnings: list[str]


def compare(before: Report, after: Report) -> Comparison:
    """Put two reports of one benchmark side by side.

    Raises:
        InputError: they are of different benchmarks.
    """
    if before.benchmark != after.benchmark:
        raise InputError(
            f"expected two reports of one benchmark, got {before.benchmark!r} and {after.benchmark!r}"
        )
    return Comparison(list(_lines(before, after)), list(_differences(before, after)))


def judge(before: Measurement, after: Measurement, taken: float = 0.0) -> tuple[float | None, str]:
    """The ratio above which a difference counts, and the verdict on these two; see the top of this file.

    `taken`: the share of the processor's time that others had, in that run in which they had more.
    """
    for measurement, which in ((before, "before"), (after, "after")):
        if measurement.status != "measured":
            return None, f"{measurement.status} {which}"
    if before.macs is not None and after.macs is not None and before.macs != after.macs:
        return None, "other work"
    if min(len(before.medians), len(after.medians)) < MIN_ROUNDS:
        return None, "too few rounds"
    if min(*before.medians, *after.medians) <= 0:
        return None, "no time"
    noise = max(before.log_range + after.log_range, math.log1p(FLOOR)) - math.log1p(-min(taken, MOST_TAKEN))
    # So that the other way round it is the same but for the sign, to the last bit.
    difference = math.log(_seconds(after)) - math.log(_seconds(before))
    # What lies on the edge, as near as floating point tells, is within the noise.
    if abs(difference) <= noise * (1 + 1e-9):
        return math.exp(noise), "within noise"
    return math.exp(noise), "slower" if difference > 0 else "faster"


def _taken(report: Report) -> float:
    """The share of the processor's time that other programs and a hypervisor had, as far as that is known."""
    shares = (report.conditions.get(name) for name in ("others", "steal"))
    return float(sum(share for share in shares if share is not None))


def _seconds(measurement: Measurement) -> float:
    return 0.0 if measurement.seconds is None else measurement.seconds


def _lines(before: Report, after: Report) -> Iterator[Line]:
    old = {(row.name, name): (row, m) for row in before.rows for name, m in row.measurements.items()}
    new = {(row.name, name): (row, m) for row in after.rows for name, m in row.measurements.items()}
    taken = max(_taken(before), _taken(after))
    for key in {**old, **new}:
        pair = [None if key not in found else found[key][1] for found in (old, new)]
        noise, verdict = None, "only before" if key in old else "only after"
        if key in old and key in new:
            noise, verdict = judge(old[key][1], new[key][1], taken)
            if old[key][0].configuration != new[key][0].configuration:
                noise, verdict = None, "other work"
        first, second = (None if m is None else m.seconds for m in pair)
        ratio = second / first if first and second is not None else None
        sizes = (found[key][0].memory_bytes(key[1]) if key in found else None for found in (old, new))
        yield Line(*key, first, second, ratio, noise, verdict, *sizes)


def _differences(before: Report, after: Report) -> Iterator[str]:
    """What a reader has to know before comparing: other machine, versions, settings, an end before time, noise."""
    for what in ("machine", "versions", "settings"):
        yield from _others(what, getattr(before, what), getattr(after, what))
    rows = {row.name: row for row in before.rows}
    for row in after.rows:  # peers have versions of their own
        if row.name in rows:
            yield from _others(
                f"versions of {row.name}", *(one.facts.get("versions", {}) for one in (rows[row.name], row))
            )
    for report, which in ((before, "before"), (after, "after")):
        if not report.complete:
            yield f"the run {which} was interrupted"
        for warning in report.warnings:
            yield f"{which}: {warning}"


def _others(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = _flat(before), _flat(after)
    for key in {**old, **new}:
        if old.get(key) != new.get(key) and key not in UNIMPORTANT:
            yield f"other {what}: {key}: {_shown(old.get(key))} before, {_shown(new.get(key))} after"


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def sheets(comparison: Comparison) -> list[Sheet]:
    """The comparison as a table for each configuration, what else there is to know below the last."""
    heads = ("what", "before", "after", "ratio", "noise up to", "verdict", "memory before", "memory after")
    rows = list(dict.fromkeys(line.row for line in comparison.lines))
    if not rows:
        return [Sheet("Compared", heads, [], list(sentences(comparison)))]
    return [
        Sheet(
            f"Compared: {row}",
            heads,
            [_cells(line) for line in comparison.lines if line.row == row],
            list(sentences(comparison)) if row == rows[-1] else (),
            words=frozenset({0, 5}),
        )
        for row in rows
    ]


def _cells(line: Line) -> list[Cell]:
    return cells(
        line.measurement,
        figures.seconds(line.before),
        figures.seconds(line.after),
        figures.ratio(line.ratio),
        figures.ratio(line.noise),
        line.verdict,
        figures.size(line.before_bytes),
        figures.size(line.after_bytes),
    )


def sentences(comparison: Comparison) -> Iterator[str]:
    """How many verdicts of each kind there are, by which rule, and what else differs."""
    counts = Counter(line.verdict for line in comparison.lines)
    yield ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()) or "nothing to compare"
    yield (
        "a difference counts where the medians lie further apart than the rounds of both runs together, and than "
        f"{FLOOR:.0%}, times what other programs may have cost; below {MIN_ROUNDS} rounds in a run nothing is called, "
        f"and with {MIN_ROUNDS} chance alone makes a difference in one of 70 comparisons"
    )
    yield from comparison.warnings


def as_data(comparison: Comparison) -> dict[str, Any]:
    """Plain data, for JSON."""
    return asdict(comparison) | {"rule": {"floor": FLOOR, "min_rounds": MIN_ROUNDS}}


def from_data(data: Mapping[str, Any]) -> Comparison:
    """What `as_data` was made of."""
    return Comparison([Line(**line) for line in data["lines"]], list(data["warnings"]))


def show(comparison: Comparison, is_terminal: bool = False) -> str:
    """The comparison as text of at most 100 columns."""
    return as_text(sheets(comparison), is_terminal=is_terminal)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("before", type=Path, metavar="BEFORE.json", help="a report of any benchmark")
    parser.add_argument("after", type=Path, metavar="AFTER.json", help="a later report of the same benchmark")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    comparison = compare(read_report(args.before), read_report(args.after))
    print(json.dumps(as_data(comparison)) if args.json else show(comparison))
    return 0
