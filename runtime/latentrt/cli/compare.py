"""`latentrt compare`: one picture exact and by a fast recipe, side by side, with what it saved and what it changed."""

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments, options
from latentrt.cli.console import progress_line, say
from latentrt.cli.output import plan
from latentrt.errors import SettingError
from latentrt.painting.fast import Fast
from latentrt.painting.kinds import drawn
from latentrt.painting.settings import Settings

if TYPE_CHECKING:
    from latentrt.painting.generation import Generation, Result

EXAMPLES = """\
examples:
  latentrt compare "a large red heart on a blue background" --fast balanced --steps 20
  latentrt compare "a castle" --model path/to/checkpoint --fast cache=3,guidance=0-0.8 --seed 7 --out castle.png
  latentrt compare "a large red heart" --fast strong --steps 30 --json --quiet | jq .psnr
"""

# One picture, twice.
_OF_ITS_OWN = ("seed", "num_images", "batch_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("prompt", metavar="PROMPT", help="what to paint")
    options.add_options(parser, Settings, _OF_ITS_OWN)
    parser.add_argument(
        "--seed", type=arguments.seed, metavar="S", help="of both pictures (default: random, and told)"
    )
    parser.add_argument(
        "--out",
        default="compare.png",
        metavar="FILE",
        help="exact, fast, and their difference: .png, .jpg or .webp (default: compare.png)",
    )
    arguments.add_tile(parser)
    arguments.add_taesd(parser)
    arguments.add_model(parser)
    arguments.add_low_memory(parser)
    arguments.add_reporting(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.pictures.difference import difference, psnr
    from latentrt.pictures.grid import draw_grid
    from latentrt.pictures.metadata import format_parameters

    settings: Any = {**options.given(args, Settings), "seed": drawn(args.seed)}
    recipe = settings.pop("fast", Fast())
    if recipe == Fast():
        raise SettingError(
            "fast", expected="a level or a recipe to compare with the exact picture", got="off"
        )
    arguments.check_taesd(args, [recipe])
    output = plan(args.out, 1)
    output.check()
    with output.claimed() as save, arguments.load(args) as pipeline:
        # Both are checked before the first is painted.
        generations = [pipeline.start_txt2img(args.prompt, fast=one, **settings) for one in (Fast(), recipe)]
        with progress_line(args.quiet) as show:
            results = []
            for name, generation in zip(("exact", "fast"), generations, strict=True):
                for step in generation:
                    show(f"{name}, step {step.index + 1} of {step.total}")
                results.append(generation.result())
        exact, fast = (result.images[0] for result in results)
        apart, factor = difference(exact, fast)
        labels = ["exact", str(recipe), f"difference, {factor} times"]
        sheet = draw_grid([[[exact, fast, apart]]], labels, [""], [""])
        path = save(sheet, settings["seed"], format_parameters(results[1].parameters[0]))
    level = psnr(exact, fast)
    told = [_told(*pair) for pair in zip(generations, results, strict=True)]
    report = {
        "file": str(path),
        "seed": settings["seed"],
        "fast": str(recipe),
        "exact_run": told[0],
        "fast_run": told[1],
        "times_faster": told[0]["seconds"] / told[1]["seconds"],
        "psnr": None if level == math.inf else level,  # of equal pictures
        "difference_times": factor,
        "settings": results[1].parameters[0].told,
    }
    if args.json:
        print(json.dumps(report))
        return 0
    print(path, flush=True)
    if not args.quiet:
        for name, one in zip(("exact", str(recipe)), told, strict=True):
            guided = f", {one['guided']} of them guided" if one["guided"] != one["evaluations"] else ""
            say(f"{name}: {one['seconds']:.2f} s, {one['evaluations']} evaluations{guided}")
        near = "the pictures are equal" if level == math.inf else f"PSNR {level:.1f} dB"
        say(f"{report['times_faster']:.2f} times faster without loading; {near}; difference {factor} times")
    return 0


def _told(generation: "Generation", result: "Result") -> dict[str, Any]:
    """What a run took: seconds without loading, evaluations of the network, and how many of them were guided."""
    from latentrt.painting.caching import computed

    guidance = generation.request.guidance
    scales = [guidance.scales[index] for index in computed(generation.request)]
    stages = {name: value for name, value in result.timings.items() if name not in ("load", "total")}
    return {
        "seconds": sum(stages.values()),
        "evaluations": len(scales),
        "guided": sum(map(guidance.guides, scales)),
        "timings": result.timings,
    }
