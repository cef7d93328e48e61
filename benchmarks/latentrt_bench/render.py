"""`latentrt bench render`: the tables and the page of a report, made again from its file."""

import argparse
import sys
from pathlib import Path

from latentrt.cli.console import fail
from latentrt.errors import InputError
from latentrt_bench.command import claim_page, write_page
from latentrt_bench.report import read_report
from latentrt_bench.tables import table

EXAMPLES = """\
examples:
  latentrt bench render latent-vs-pixel.json
  latentrt bench render latent-vs-pixel.json --out page.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("file", type=Path, metavar="FILE.json", help="what a benchmark has written")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PAGE.html",
        help="where to write the page (default: beside the file, as .html)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and print the tables.

    Raises:
        InputError: the file is no report, or the page would take its place or has no folder.
    """
    report = read_report(args.file)
    out: Path = args.file.with_suffix(".html") if args.out is None else args.out
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out {out}: expected a file in a folder that exists")
    if out.resolve() == args.file.resolve():
        raise InputError(f"--out {out}: is the report itself; expected another file")
    try:
        with claim_page(out, named=args.out is not None) as claim:
            written = write_page(report, claim)
    except OSError as error:
        return fail(f"{out}: {error.strerror or error}")
    print(table(report, sys.stdout.isatty()))
    print(f"written: {written}", file=sys.stderr)
    return 0
