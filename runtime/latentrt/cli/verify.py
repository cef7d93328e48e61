"""`latentrt verify`: is a bundle whole, and does it compute here what it computed where it was made?"""

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  latentrt verify path/to/bundle

Checks the sha256 of every file, then runs every network on stored inputs and compares the outputs. Needs no torch.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="a folder that `latentrt export` wrote")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.verify import verify_bundle

    verify_bundle(args.bundle)
    print(f"{args.bundle}: whole, and every network computes what it should")
    return 0
