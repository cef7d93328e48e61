"""`latentrt verify`: is a bundle whole, and does it compute here what it computed where it was made?"""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli.console import fail, progress_line

if TYPE_CHECKING:
    from latentrt.engine.verify import Replay, Report

EXAMPLES = """\
examples:
  latentrt verify path/to/bundle

Checks the sha256 of every file, then runs every network on stored inputs and compares the outputs. Needs no torch.
Exits with 1 when something is wrong.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a folder that `latentrt export` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.engine.verify import verify_bundle

    with progress_line(args.quiet) as show:
        report = verify_bundle(args.bundle, show)
    print(json.dumps(_facts(report)) if args.json else _text(report))
    return 0 if report.ok else fail(f"{args.bundle}: is not what was exported")


def _facts(report: "Report") -> dict[str, Any]:
    return {
        "ok": report.ok,
        "files": report.files,
        "missing": report.missing,
        "changed": report.changed,
        "extra": report.extra,
        "components": [_replay_facts(replay) for replay in report.replays],
    }


def _replay_facts(replay: "Replay") -> dict[str, Any]:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None  # JSON has no infinity

    return {
        "component": replay.component,
        "compute": replay.compute,
        "ok": replay.ok,
        "max_abs": number(replay.max_abs),
        "relative": number(replay.relative),
        "bound": replay.bound,
        "problem": replay.problem,
    }


def _text(report: "Report") -> str:
    good = report.files - len(report.missing) - len(report.changed)
    lines = [f"files  {good} of {report.files} as they were written"]
    for word in ("missing", "changed", "extra"):
        lines += [f"  {word}  {name}" for name in getattr(report, word)]
    lines.append(f"{'component':14} compute  max abs error  relative error  bound")
    for replay in report.replays:
        verdict = "ok" if replay.ok else replay.problem or "beyond the bound"
        errors = f"{replay.max_abs:13.2e}  {replay.relative:14.2e}  {replay.bound:.0e}"
        lines.append(f"{replay.component:14} {replay.compute:7}  {errors}  {verdict}")
    return "\n".join(lines)
