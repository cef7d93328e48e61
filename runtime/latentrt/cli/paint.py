"""What generate and img2img share: arguments, the loop over the steps, and writing the pictures."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments
from latentrt.cli.console import say
from latentrt.cli.output import Output, plan
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.generation import Generation, Result
    from latentrt.pipeline import Pipeline
    from latentrt.request import Settings

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything but the prompt."""
    parser.add_argument("--negative", metavar="TEXT", help="what to stay away from")
    parser.add_argument(
        "--size", type=arguments.size, metavar="WxH", help="in pixels, multiples of 8 (default: the model's)"
    )
    parser.add_argument(
        "--steps", type=arguments.natural, metavar="N", help="more is slower and finer (default: the model's)"
    )
    parser.add_argument(
        "--guidance-scale",
        type=arguments.finite,
        metavar="G",
        help="how closely to follow the prompt; 1 turns guidance off and halves the time (default: the model's)",
    )
    parser.add_argument(
        "--seed",
        type=arguments.seed,
        metavar="S",
        help="the same seed paints the same picture (default: random, and told)",
    )
    parser.add_argument(
        "--count",
        type=arguments.count,
        default=1,
        metavar="N",
        help="how many pictures, of seeds S, S+1, … (default: 1)",
    )
    parser.add_argument(
        "--batch-size",
        type=arguments.natural,
        default=1,
        metavar="B",
        help="how many at a time; worth while on a GPU (default: 1)",
    )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        help="as ddim, euler_ancestral, 'DPM++ 2M Karras' (default: the model's; a wrong one lists all)",
    )
    parser.add_argument(
        "--eta",
        type=arguments.share,
        metavar="E",
        help="share of fresh noise in each step of ddim (default: 0)",
    )
    parser.add_argument(
        "--clip-skip",
        type=arguments.whole,
        metavar="N",
        help="leave out the text encoder's last N layers; AUTOMATIC1111's Clip skip less 1 (default: 0)",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="a .png, .jpg or .webp file, a name with {seed} or {index}, or a folder/ (default: latentrt-{seed}.png)",
    )
    arguments.add_model(parser)
    parser.add_argument("--low-memory", action="store_true", help="free each network when its stage is over")
    arguments.add_reporting(parser)


def paint(args: argparse.Namespace, start: "Callable[[Pipeline, Settings], Generation]") -> int:
    """Load the model, run a generation, write its pictures, and say where they are."""
    output = plan(args.out, args.count)
    output.check()
    first = arguments.drawn(args.seed)
    if first + args.count - 1 > arguments.MAX_SEED:
        raise InputError(f"--seed: {args.count} seeds from {first} go beyond {arguments.MAX_SEED}")

    import latentrt

    model = "demo" if args.model is None else args.model
    with latentrt.load(model, device=args.device, dtype=args.dtype, low_memory=args.low_memory) as pipeline:
        generation = start(pipeline, _settings(args, first))
        result = _run(generation, quiet=args.quiet)
        files = _write(result, output, quiet=args.quiet, listed=not args.json)
        if args.json:
            print(json.dumps(_report(result, files, pipeline)))
        elif not args.quiet:
            say(_summary(result, pipeline))
    return 0


def _settings(args: argparse.Namespace, first_seed: int) -> "Settings":
    width, height = (None, None) if args.size is None else args.size
    return {
        "negative_prompt": "" if args.negative is None else args.negative,
        "width": width,
        "height": height,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "seed": list(range(first_seed, first_seed + args.count)),
        "batch_size": min(args.batch_size, args.count),
        "sampler": args.sampler,
        "eta": args.eta,
        "clip_skip": args.clip_skip,
    }


def _run(generation: "Generation", *, quiet: bool) -> "Result":
    from tqdm import tqdm

    with tqdm(
        total=generation.total,
        desc="loading",
        unit="step",
        bar_format=BAR,
        disable=quiet or not sys.stderr.isatty(),
        file=sys.stderr,
    ) as bar:
        for step in generation:
            if step.index == 0:
                bar.unpause()  # the time of loading says nothing of the steps to come
                bar.set_description_str("painting", refresh=False)
            bar.set_postfix_str(f"{step.seconds:.2f} s/step", refresh=False)
            bar.update()
        bar.set_description_str("decoding")
        return generation.result()


def _write(result: "Result", output: Output, *, quiet: bool, listed: bool) -> list[str]:
    from latentrt.images import save_image
    from latentrt.metadata import format_parameters

    files = []
    for image, seed, parameters in zip(result.images, result.seeds, result.parameters, strict=True):
        path = output.next_path(seed)
        save_image(image, path, format_parameters(parameters))
        files.append(str(path))
        if listed:
            print(path, flush=True)
    return files


def _report(result: "Result", files: list[str], pipeline: "Pipeline") -> dict[str, Any]:
    settings = asdict(result.parameters[0])
    for key in ("seed", "extra"):
        del settings[key]
    settings |= {"device": pipeline.provider.name, "dtype": pipeline.dtype}
    return {"files": files, "seeds": result.seeds, "settings": settings, "timings": result.timings}


def _summary(result: "Result", pipeline: "Pipeline") -> str:
    p = result.parameters[0]
    last = f"–{result.seeds[-1]}" if len(result.seeds) > 1 else ""
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.timings.items())
    return (
        f"{p.width}x{p.height}, {p.steps} steps, {p.sampler}, seed {p.seed}{last}, "
        f"{pipeline.provider.name} {pipeline.dtype}: {stages}"
    )
