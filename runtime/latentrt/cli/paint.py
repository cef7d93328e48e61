"""What generate and img2img share: arguments, the loop over the steps, and writing the pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments
from latentrt.cli.console import say
from latentrt.cli.output import Output, plan
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.generation import Generation, Result
    from latentrt.metadata import GenerationParameters
    from latentrt.pipeline import Pipeline
    from latentrt.request import Settings

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything but the prompt."""
    parser.add_argument("--negative", metavar="TEXT", help="what to stay away from")
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="WxH",
        help="in pixels, multiples of the model's factor, 8 for Stable Diffusion (default: the model's)",
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
        help="how many at a time, written when they are done; more is worth while on a GPU (default: 1)",
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
    parser.add_argument(
        "--low-memory",
        action="store_true",
        help="free each network when its stage is over; all pictures are decoded and written at the end",
    )
    arguments.add_reporting(parser)


def paint(args: argparse.Namespace, start: "Callable[[Pipeline, Settings], Generation]") -> int:
    """Load the model, paint batch after batch, write each one's pictures when it is done, and say where they are."""
    from latentrt.metadata import GenerationParameters, format_parameters

    output = plan(args.out, args.count)
    prompts = format_parameters(GenerationParameters(args.prompt, args.negative or ""))
    output.check(args.size, prompts)
    first = arguments.drawn(args.seed)
    if first + args.count - 1 > arguments.MAX_SEED:
        raise InputError(f"--seed: {args.count} seeds from {first} go beyond {arguments.MAX_SEED}")
    seeds = range(first, first + args.count)
    # Networks that are freed after their stage are worth one stage for all pictures, not one for each batch.
    at_once = args.count if args.low_memory else min(args.batch_size, args.count)
    batches = [seeds[i : i + at_once] for i in range(0, args.count, at_once)]

    import latentrt

    model = "demo" if args.model is None else args.model
    with latentrt.load(model, device=args.device, dtype=args.dtype, low_memory=args.low_memory) as pipeline:
        painted = _Painted()
        generations = (start(pipeline, _settings(args, batch)) for batch in batches)
        with _Bar(len(batches), quiet=args.quiet) as bar:
            for generation in generations:
                # A picture's own size, and the model's, are known only now.
                output.check((generation.request.width, generation.request.height), prompts)
                result = bar.run(generation)
                painted.add(result)
                for file in _write(result, output):
                    painted.files.append(str(file))
                    if not args.json:
                        bar.print(str(file))
        if args.json:
            print(json.dumps(_report(painted, pipeline)))
        elif not args.quiet:
            say(_summary(painted, pipeline))
    return 0


@dataclass
class _Painted:
    """What is told in the end; the pictures themselves are not kept."""

    files: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    parameters: "list[GenerationParameters]" = field(default_factory=list)

    def add(self, result: "Result") -> None:
        self.seeds += result.seeds
        self.parameters += result.parameters[:1]
        for stage, seconds in result.timings.items():
            self.timings[stage] = self.timings.get(stage, 0.0) + seconds


class _Bar:
    """One progress bar over the steps of all batches."""

    def __init__(self, batches: int, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._batches, self._begun = batches, False
        self._bar = tqdm(
            desc="loading",
            unit="step",
            bar_format=BAR,
            disable=quiet or not sys.stderr.isatty(),
            file=sys.stderr,
        )

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def run(self, generation: "Generation") -> "Result":
        bar = self._bar
        bar.total = generation.total * self._batches
        for step in generation:
            if not self._begun:
                bar.unpause()  # the time of loading says nothing of the steps to come
                self._begun = True
            if step.index == 0:
                bar.set_description_str("painting", refresh=False)
            bar.set_postfix_str(f"{step.seconds:.2f} s/step", refresh=False)
            bar.update()
        bar.set_description_str("decoding")
        return generation.result()

    def print(self, line: str) -> None:
        """A line on stdout, with the bar out of its way."""
        self._bar.clear()
        print(line, flush=True)


def _settings(args: argparse.Namespace, seeds: Sequence[int]) -> "Settings":
    width, height = (None, None) if args.size is None else args.size
    return {
        "negative_prompt": "" if args.negative is None else args.negative,
        "width": width,
        "height": height,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "seed": list(seeds),
        "batch_size": min(args.batch_size, len(seeds)),
        "sampler": args.sampler,
        "eta": args.eta,
        "clip_skip": args.clip_skip,
    }


def _write(result: "Result", output: Output) -> Iterator[Path]:
    from latentrt.metadata import format_parameters

    for image, seed, parameters in zip(result.images, result.seeds, result.parameters, strict=True):
        yield output.save(image, seed, format_parameters(parameters))


def _report(painted: _Painted, pipeline: "Pipeline") -> dict[str, Any]:
    settings = asdict(painted.parameters[0])
    for key in ("seed", "extra"):
        del settings[key]
    settings |= {"device": pipeline.provider.name, "dtype": pipeline.dtype}
    return {
        "files": painted.files,
        "seeds": painted.seeds,
        "settings": settings,
        "timings": painted.timings,
    }


def _summary(painted: _Painted, pipeline: "Pipeline") -> str:
    p = painted.parameters[0]
    last = f"–{painted.seeds[-1]}" if len(painted.seeds) > 1 else ""
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in painted.timings.items())
    return (
        f"{p.width}x{p.height}, {p.steps} steps, {p.sampler}, seed {p.seed}{last}, "
        f"{pipeline.provider.name} {pipeline.dtype}: {stages}"
    )
