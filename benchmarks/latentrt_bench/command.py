"""What all measuring commands have in common: options, the run, and what is left of it, however it ends."""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from latentrt.claim import Claim, claim_file
from latentrt.cli.arguments import natural
from latentrt.cli.console import ending_signals, fail, progress_line, say
from latentrt.errors import InputError
from latentrt_bench.measuring.machine import Conditions, condition_warnings, describe_machine, versions
from latentrt_bench.report import Report
from latentrt_bench.tables import table

Tell = Callable[[str], None]

# What a page of ours has in its head, and how far in.
GENERATOR = b'<meta name="generator" content="latentrt bench">'
_HEAD_BYTES = 1024


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
    if args.report and out.suffix.lower() == ".html":
        raise InputError(
            f"--out {out}: --report writes the page there; expected the name of the JSON beside it, such as "
            f"{out.with_suffix('.json')}"
        )
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(claim_file(out, replaces=args.out is not None))
            page = held.enter_context(claim_page(out.with_suffix(".html"))) if args.report else None
        except OSError as error:
            raise InputError(
                f"--out {out}: expected a file in a folder that exists and can be written ({error.strerror})"
            ) from None
        return _conduct(args, benchmark, started, settings, measure, derive, file, page)


def _conduct(
    args: argparse.Namespace,
    benchmark: str,
    started: datetime,
    settings: dict[str, Any],
    measure: Callable[[Report, Tell], None],
    derive: Callable[[Report], dict[str, Any]],
    file: Claim,
    page: Claim | None,
) -> int:
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
    with _signals_raise() as signals:
        try:
            with progress_line(args.quiet) as show:
                measure(report, lambda message: show(f"{time.perf_counter() - clock:5.0f} s  {message}"))
            report.complete = True
            signals.ignore()
        except (Exception, KeyboardInterrupt) as error:
            signals.ignore()  # what was finished took long: it is kept whatever happened
            ended_by = error
            if not isinstance(error, KeyboardInterrupt):
                report.warnings.append(f"the run ended early: {type(error).__name__}: {error}")
        report.seconds = time.perf_counter() - clock
        prune(report)
        if ended_by is not None and not report.rows:  # and a file that may be there stays as it is
            say("latentrt: ended before anything was measured; no report is written")
            if isinstance(ended_by, KeyboardInterrupt):
                return signals.code
            raise ended_by
        report.conditions = conditions.found()
        report.warnings += condition_warnings(report.conditions)
        try:
            report.derived = derive(report)
        except Exception as error:  # the samples are what took long
            ended_by = ended_by or error
            report.warnings.append(f"nothing was derived: {type(error).__name__}: {error}")
        try:
            written = [file.write(lambda stream: stream.write(report.to_json().encode()))]
        except OSError as error:
            print(report.to_json())  # half an hour of measuring is not lost to a full disk
            return fail(f"{file.target}: {error.strerror or error}; the report is on stdout")
    if page is not None:
        written.append(write_page(report, page))
    print(report.to_json().rstrip() if args.json else table(report, sys.stdout.isatty()))
    say(f"written: {', '.join(map(str, written))}")
    if isinstance(ended_by, KeyboardInterrupt):
        say("latentrt: interrupted; what was finished is kept")
        return signals.code
    if ended_by is not None:
        raise ended_by
    if not any(m.status != "failed" for row in report.rows for m in row.measurements.values()):
        return fail("nothing could be measured; the report says why")
    return 0


def claim_page(path: Path, named: bool = False) -> Claim:
    """Claim a page's place. One that the user has not `named` replaces an earlier page, and nothing else.

    Raises:
        InputError, OSError: as `claim_file`.
    """
    replaces = named
    if not named and path.is_file():
        with path.open("rb") as file:
            replaces = GENERATOR in file.read(_HEAD_BYTES)
    return claim_file(path, replaces)


def write_page(report: Report, claim: Claim) -> Path:
    """Write the report's page, whole or not at all; returns where it is."""
    # matplotlib takes a second to import, and most runs write no page.
    from latentrt_bench.page import page

    text = page(report)
    return claim.write(lambda file: file.write(text.encode()))


def prune(report: Report) -> None:
    """Drop what was begun and not finished: measurements without a round, and rows without a measurement."""
    for row in report.rows:
        for name, measurement in list(row.measurements.items()):
            if measurement.status == "measured" and not measurement.rounds:
                del row.measurements[name]
    report.rows = [row for row in report.rows if row.measurements]


class _Signals:
    """The first Ctrl-C, or other wish that we end, raises KeyboardInterrupt; any later one is ignored.

    Attributes:
        code: the exit code that goes with the one that raised.
    """

    def __init__(self) -> None:
        self.code = 128 + signal.SIGINT
        self._raises = True

    def raise_once(self, signum: int, frame: FrameType | None) -> None:
        """What the process does at a signal."""
        if self._raises:
            self._raises, self.code = False, 128 + signum
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """The measuring is over: from now on none raises."""
        self._raises = False


@contextlib.contextmanager
def _signals_raise() -> Iterator[_Signals]:
    """Have `_Signals` handle them. What is ignored already, as under `nohup`, stays so.

    The command line's own handler would end the process while what was found is written.
    """
    signals = _Signals()
    ours = threading.current_thread() is threading.main_thread()
    before = {
        number: signal.signal(number, signals.raise_once)
        for number in (ending_signals() if ours else ())
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
