"""What generate, img2img and inpaint share: arguments, the loop over the steps, and writing the pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments, previews, seeding
from latentrt.cli.console import say
from latentrt.cli.output import Output, plan

if TYPE_CHECKING:
    from latentrt.painting.generation import Result
    from latentrt.painting.request import Settings
    from latentrt.pictures.metadata import GenerationParameters
    from latentrt.pipeline import Painting, Pipeline

# Entries of a picture's text beside the fields of GenerationParameters -> what --json calls them, and their kind.
ENTRIES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Sampler class": ("sampler_class", str),
    "Sigma schedule": ("sigma_schedule", str),
    "CFG schedule": ("guidance_schedule", lambda text: [float(part) for part in text.split()]),
    "CFG interval": ("guidance_interval", lambda text: [float(part) for part in text.split()]),
    "CFG rescale": ("guidance_rescale", float),
    "RNG": ("rng", str.lower),
    "Batch size": ("one_stream", lambda text: int(text) > 1),
    "Mask blur": ("mask_blur", float),
    "Mask mode": ("invert_mask", lambda text: text == "Inpaint not masked"),
    "Inpaint area": ("only_masked", lambda text: text == "Only masked"),
    "Masked area padding": ("padding", int),
    "Differential diffusion": ("differential", lambda text: text == "True"),
    "Hires upscale": ("hires_scale", float),
    "Hires resize": ("hires_size", lambda text: [int(side) for side in text.split("x")]),
    "Hires steps": ("hires_steps", int),
    "Hires upscaler": ("hires_upscaler", str),
}

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything but the prompt."""
    parser.add_argument("--negative", metavar="TEXT", help="what to stay away from")
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="WxH",
        help="in pixels, multiples of the model's factor, 8 for Stable Diffusion (default: the model's or --image's)",
    )
    parser.add_argument(
        "--steps", type=arguments.natural, metavar="N", help="more is slower and finer (default: the model's)"
    )
    parser.add_argument(
        "--guidance-scale",
        type=arguments.scale,
        metavar="G[,G…]",
        help="how closely to follow the prompt; 1 turns guidance off and halves the time; several are spread over the "
        "steps, so that 9,3 falls from 9 to 3 (default: the model's)",
    )
    parser.add_argument(
        "--guidance-rescale",
        type=arguments.share,
        metavar="F",
        help="bring the contrast of the guided prediction back to the prompt's, 0 to 1 (default: 0)",
    )
    parser.add_argument(
        "--guidance-interval",
        type=arguments.interval,
        metavar="START,END",
        help="guide in that share of the steps alone, as 0.1,0.8; the others take half the time (default: 0,1)",
    )
    seeding.add_arguments(parser)
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        help="as ddim, euler_ancestral, 'DPM++ 2M Karras' (default: the model's; `latentrt samplers` lists all)",
    )
    parser.add_argument(
        "--schedule",
        metavar="NAME",
        help="ComfyUI's or AUTOMATIC1111's sigma schedule, as karras, sgm_uniform, beta (default: the sampler's own)",
    )
    parser.add_argument(
        "--eta",
        type=arguments.share,
        metavar="E",
        help="share of fresh noise in each step of ddim (default: 0) and tcd (0.3)",
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
    arguments.add_tile(parser)
    previews.add_arguments(parser)
    arguments.add_model(parser)
    parser.add_argument(
        "--low-memory",
        action="store_true",
        help="free each network when its stage is over; all pictures are decoded and written at the end",
    )
    arguments.add_reporting(parser)


def paint(args: argparse.Namespace, start: "Callable[[Pipeline, Settings], Painting]") -> int:
    """Load the model, paint batch after batch, write each one's pictures when it is done, and say where they are."""
    from latentrt.pictures.metadata import GenerationParameters, format_parameters

    output = plan(args.out, seeding.count(args))
    prompts = format_parameters(GenerationParameters(args.prompt, args.negative or ""))
    output.check(args.size, prompts)
    shown = previews.Previews(args)
    batches = seeding.batches(args)

    import latentrt

    model = "demo" if args.model is None else args.model
    options: dict[str, Any] = {"dtype": args.dtype, "low_memory": args.low_memory, "tile": args.tile}
    with latentrt.load(model, device=args.device, **options) as pipeline:
        shown.open(pipeline)
        painted = _Painted()
        generations = (start(pipeline, _settings(args, batch)) for batch in batches)
        with _Bar(len(batches), quiet=args.quiet) as bar:
            for generation in generations:
                # A picture's own size, and the model's, are known only now.
                output.check(generation.request.output_size, prompts)
                if not args.quiet and not painted.files:
                    previews.say_tiles(pipeline, generation.request.width, generation.request.height)
                result = bar.run(generation, shown)
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
    variations: list[int] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    parameters: "list[GenerationParameters]" = field(default_factory=list)
    size: tuple[int, int] = (0, 0)  # of the files; `parameters` have that of the first or masked pass

    def add(self, result: "Result") -> None:
        self.seeds += result.seeds
        self.parameters += result.parameters[:1]
        self.size = result.images[0].size
        self.variations += [p.variation_seed for p in result.parameters if p.variation_seed is not None]
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

    def run(self, generation: "Painting", shown: previews.Previews) -> "Result":
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
            shown.show(step, generation.request.seeds)
        bar.set_description_str("decoding")
        return generation.result()

    def print(self, line: str) -> None:
        """A line on stdout, with the bar out of its way."""
        self._bar.clear()
        print(line, flush=True)


def _settings(args: argparse.Namespace, noise: "Settings") -> "Settings":
    width, height = (None, None) if args.size is None else args.size
    settings: Settings = {
        **noise,
        "negative_prompt": "" if args.negative is None else args.negative,
        "width": width,
        "height": height,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "sampler": args.sampler,
        "schedule": args.schedule,
        "eta": args.eta,
        "clip_skip": args.clip_skip,
    }
    if args.guidance_rescale is not None:
        settings["guidance_rescale"] = args.guidance_rescale
    if args.guidance_interval is not None:
        settings["guidance_interval"] = args.guidance_interval
    return settings


def _write(result: "Result", output: Output) -> Iterator[Path]:
    from latentrt.pictures.metadata import format_parameters

    for image, seed, parameters in zip(result.images, result.seeds, result.parameters, strict=True):
        yield output.save(image, seed, format_parameters(parameters))


def _report(painted: _Painted, pipeline: "Pipeline") -> dict[str, Any]:
    p = painted.parameters[0]
    settings = asdict(p)
    for key in ("seed", "variation_seed", "extra"):
        del settings[key]
    told = dict(p.extra)
    for entry, (key, kind) in ENTRIES.items():
        settings[key] = kind(told[entry]) if entry in told else None
    settings["width"], settings["height"] = painted.size
    if settings["hires_upscaler"] is not None:
        settings |= {"first_pass_width": p.width, "first_pass_height": p.height}
    if settings["only_masked"]:
        settings |= {"masked_area_width": p.width, "masked_area_height": p.height}
    settings |= {"device": pipeline.provider.name, "dtype": pipeline.dtype}
    report = {"files": painted.files, "seeds": painted.seeds}
    if painted.variations:
        report["variation_seeds"] = painted.variations
    return report | {"settings": settings, "timings": painted.timings}


def _summary(painted: _Painted, pipeline: "Pipeline") -> str:
    p = painted.parameters[0]
    seeds = _span("seed", painted.seeds)
    if painted.variations:
        seeds += f", {_span('variation seed', painted.variations)}"
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in painted.timings.items())
    return (
        f"{painted.size[0]}x{painted.size[1]}, {p.steps} steps, {p.sampler}, {seeds}, "
        f"{pipeline.provider.name} {pipeline.dtype}: {stages}"
    )


def _span(name: str, seeds: list[int]) -> str:
    return f"{name} {seeds[0]}" + (f"–{seeds[-1]}" if seeds[-1] != seeds[0] else "")
