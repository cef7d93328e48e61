"""`latentrt samplers`: every sampler by all its names."""

import argparse
import json
import textwrap
from typing import Any

EXAMPLES = """\
examples:
  latentrt samplers
  latentrt generate "a fox" --sampler dpmpp_2m --schedule sgm_uniform
  latentrt generate "a fox" --sampler "DPM++ 2M Karras"
"""

_WIDTHS = (30, 10, 17, 31)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the options of each")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.samplers import SCHEDULE_LABELS, table

    rows = table()
    if args.json:
        schedules = [{"comfyui": name, "automatic1111": label} for name, label in SCHEDULE_LABELS.items()]
        print(json.dumps({"samplers": rows, "schedules": schedules}))
        return 0
    _print("--sampler", "ComfyUI", "AUTOMATIC1111", "diffusers", "schedule")
    for row in rows:
        _print(
            row["name"],
            "the same" if row["comfyui"] == row["name"] else row["comfyui"] or "–",
            row["automatic1111"] or "–",
            row["diffusers"],
            "any" if row["takes_schedules"] else "–",
        )
    print()
    print("--schedule, ComfyUI's names or AUTOMATIC1111's:")
    print(textwrap.fill(", ".join(SCHEDULE_LABELS), 100, initial_indent="  ", subsequent_indent="  "))
    print("A schedule may also stand behind a name, as in 'dpmpp_2m karras' or 'DPM++ 2M Karras'.")
    print("A diffusers class is a name, too, and takes the model's scheduler_config.json as it is.")
    return 0


def _print(*cells: Any) -> None:
    *first, last = cells
    print(" ".join(f"{cell:<{width}}" for cell, width in zip(first, _WIDTHS, strict=True)), last)
