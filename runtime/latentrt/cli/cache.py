"""`latentrt cache`: the prepared weights that are kept, and how to be rid of them."""

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.engine.prepared.folder import Kept

EXAMPLES = """\
examples:
  latentrt cache                 what is kept, that used last first
  latentrt cache prune 10GB      remove what was used least recently, until it takes no more than that
  latentrt cache clear
  LATENTRT_CACHE=/data/latentrt LATENTRT_CACHE_SIZE=50GB latentrt generate "a fox" --model checkpoint.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("list", "prune", "clear"),
        default="list",
        help="list what is kept; prune: remove what killed processes left, and what exceeds SIZE; clear: remove all "
        "(default: list)",
    )
    parser.add_argument(
        "size",
        nargs="?",
        metavar="SIZE",
        help="of prune: as 10GB or 500MB (default: what LATENTRT_CACHE_SIZE says, else 30GB)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.engine.prepared.folder import FOLDER, OFF, cache_here, parse_size

    if args.size is not None and args.what != "prune":
        raise InputError(f"SIZE: goes with prune alone, got {args.size!r} with {args.what}")
    limit = None if args.size is None else parse_size("SIZE", args.size)
    cache = cache_here()
    if cache is None:
        raise InputError(f"{FOLDER} is {OFF!r}: nothing is kept; expected a folder, or no such variable")
    removed: list[Kept] = []
    if args.what != "list" and cache.root.exists():
        removed = cache.prune(0 if args.what == "clear" else cache.limit if limit is None else limit)
    kept = cache.kept()
    facts = {
        "folder": str(cache.root),
        "limit": cache.limit,
        "size": sum(one.size for one in kept),
        "kept": [_facts(one) for one in kept],
        "removed": [_facts(one) for one in removed],
    }
    print(json.dumps(facts) if args.json else _text(facts))
    return 0


def _facts(kept: "Kept") -> dict[str, Any]:
    return {
        "key": kept.key,
        "component": kept.component,
        "source": list(kept.source),
        "size": kept.size,
        "used": int(kept.used),
    }


def _text(facts: dict[str, Any]) -> str:
    lines = [f"{facts['folder']}: {facts['size'] / 1e9:.1f} of at most {facts['limit'] / 1e9:.1f} GB"]
    for name, sign in (("kept", " "), ("removed", "-")):
        for one in facts[name]:
            day = time.strftime("%Y-%m-%d", time.localtime(one["used"]))
            lines.append(
                f"{sign} {one['size'] / 1e9:5.1f} GB  used {day}  {one['component']}, of {', '.join(one['source'])}"
            )
    return "\n".join(lines)
