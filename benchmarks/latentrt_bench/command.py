"""What all measuring commands have in common: options, the run, and what is left of it, however it ends."""

import argparse
import contextlib
import signal
import sys
import tempfile
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
    parser.add_argument("--quick", action="store_true", help="less of everything, in minutes")
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
    if out.is_dir() or not _can_be_written(out.parent):
        raise InputError(f"--out {out}: expected a file in a folder that exists and can be written")
    if args.report and out.suffix.lower() == ".html":
        raise InputError(
            f"--out {out}: --report writes the page there; expected the name of the JSON beside it, such as "
            f"{out.with_suffix('.json')}"
        )
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
    with _signals_raise() as ignore_signals:
        try:
            with progress_line(args.quiet) as show:
                measure(report, lambda message: show(f"{time.perf_counter() - clock:5.0f} s  {message}"))
            report.complete = True
            ignore_signals()
        except (Exception, KeyboardInterrupt) as error:
            ignore_signals()  # what was finished took long: it is kept whatever happened
            ended_by = error
            if not isinstance(error, KeyboardInterrupt):
                report.warnings.append(f"the run ended early: {type(error).__name__}: {error}")
        report.seconds = time.perf_counter() - clock
        prune(report)
        if ended_by is not None and not report.rows:  # and a file that may be there stays as it is
            say("latentrt: ended before anything was measured; no report is written")
            if isinstance(ended_by, KeyboardInterrupt):
                return 130
            raise ended_by
        report.conditions = conditions.found()
        report.warnings += condition_warnings(report.conditions)
        try:
            report.derived = derive(report)
        except Exception as error:  # the samples are what took long
            ended_by = ended_by or error
            report.warnings.append(f"nothing was derived: {type(error).__name__}: {error}")
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


def _can_be_written(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def write_page(report: Report, path: Path) -> None:
    """Write the report's page; it appears whole or not at all."""
    # matplotlib takes a second to import, and most runs write no page.
    from latentrt_bench.page import page

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
def _signals_raise() -> Iterator[Callable[[], None]]:
    """The first Ctrl-C, or other wish that we end, raises KeyboardInterrupt; any later one is ignored.

    The command line's own handler would end the process while what was found is written. What is ignored already, as
    under `nohup`, stays so.

    Yields:
        What to call when the measuring is over, from when on none raises.
    """
    raises = True

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal raises
        if raises:
            raises = False
            raise KeyboardInterrupt

    def ignore() -> None:
        nonlocal raises
        raises = False

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {
        number: signal.signal(number, interrupt)
        for number in numbers
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield ignore
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
