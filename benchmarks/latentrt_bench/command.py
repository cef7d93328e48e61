"""What all measuring commands have in common: options, the run, and what is left of it, however it ends."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from latentrt.cli.arguments import natural
from latentrt.cli.console import fail, progress_line, say
from latentrt.errors import InputError
from latentrt.files import atomic_write
from latentrt_bench.measuring.machine import Conditions, condition_warnings, describe_machine, versions
from latentrt_bench.report import Report
from latentrt_bench.tables import table

Tell = Callable[[str], None]


def add_common(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Add the options of every measuring command."""
    parser.add_argument(
        "--rounds", type=natural, metavar="N", help=f"how often each figure is taken, in turns ({rounds})"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: minutes instead of an hour")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where every sample goes, as JSON (default: a new file here, named after benchmark and time)",
    )
    parser.add_argument("--report", action="store_true", help="write a page with plots too, beside the JSON")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the tables")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def conduct(
    args: argparse.Namespace,
    benchmark: str,
    settings: dict[str, Any],
    measure: Callable[[Report, Tell], None],
    derive: Callable[[Report], dict[str, Any]],
) -> int:
    """Run a benchmark, write its report, print its tables; returns the exit code.

    An interrupt (Ctrl-C, SIGTERM) or a failure ends the measuring; what was finished is written and printed still.

    Args:
        args: with the options of `add_common`.
        benchmark: its name.
        settings: what was asked, for the report.
        measure: adds rows and warnings to the report as it goes.
        derive: what follows from the rows; pure.

    Raises:
        InputError: the file to be written cannot be.
    """
    started = datetime.now(UTC)
    out = args.out if args.out is not None else Path(f"{benchmark}-{started:%Y%m%d-%H%M%S}.json")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"--out {out}: expected a file in a folder that exists and can be written")
    conditions = Conditions()
    report = Report(
        benchmark=benchmark,
        command=["latentrt", *sys.argv[1:]],
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        settings=settings,
        machine=describe_machine(),
        versions=versions(),
    )
    clock = time.perf_counter()
    ended_by: BaseException | None = None
    with _signals_raise(), progress_line(args.quiet) as show:
        try:
            measure(report, lambda message: show(f"{time.perf_counter() - clock:5.0f} s  {message}"))
            report.complete = True
        except (
            Exception,
            KeyboardInterrupt,
        ) as error:  # what was finished took long: it is kept whatever happened
            ended_by = error
    if ended_by is not None and not isinstance(ended_by, KeyboardInterrupt):
        report.warnings.append(f"the run ended early: {type(ended_by).__name__}: {ended_by}")
    report.seconds = time.perf_counter() - clock
    prune(report)
    report.conditions = conditions.found()
    report.warnings += condition_warnings(report.conditions)
    report.derived = derive(report)
    try:
        report.write(out)
    except OSError as error:
        print(report.to_json())  # half an hour of measuring is not lost to a full disk
        return fail(f"{out}: {error.strerror or error}; the report is on stdout")
    if args.report:
        write_page(report, out.with_suffix(".html"))
    print(report.to_json().rstrip() if args.json else table(report, sys.stdout.isatty()))
    say(f"written: {out}" + (f", {out.with_suffix('.html')}" if args.report else ""))
    if isinstance(ended_by, KeyboardInterrupt):
        say("latentrt: interrupted; what was finished is kept")
        return 130
    if ended_by is not None:
        raise ended_by
    if not any(m.status != "failed" for row in report.rows for m in row.measurements.values()):
        return fail("nothing could be measured; the report says why")
    return 0


def write_page(report: Report, path: Path) -> None:
    """Write the report's page; it appears whole or not at all."""
    from latentrt_bench.page import (
        page,  # matplotlib takes a second to import, and most runs write no page
    )

    text = page(report)
    with atomic_write(path) as file:
        file.write(text.encode())


def prune(report: Report) -> None:
    """Drop what was begun and not finished: measurements without a round, and rows without a measurement."""
    for row in report.rows:
        for name, measurement in list(row.measurements.items()):
            if measurement.status == "measured" and not measurement.rounds:
                del row.measurements[name]
    report.rows = [row for row in report.rows if row.measurements]


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """The first Ctrl-C, or other wish that we end, raises KeyboardInterrupt; another one, while we write, does not.

    The command line's own handler would end the process while that goes on.
    """
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number in signals:
            if signal.getsignal(number) is interrupt:  # else it has come, and stays ignored while we write
                signal.signal(number, before[number])
