"""What generate, img2img, inpaint and upscale share: arguments, the loop over the steps, and writing the pictures."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments, options, previews, seeding
from latentrt.cli.console import say
from latentrt.cli.output import Save, plan
from latentrt.painting.fast import Fast
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import record

if TYPE_CHECKING:
    from latentrt.painting.generation import Generation, Result
    from latentrt.painting.settings import Settings
    from latentrt.pictures.metadata import GenerationParameters
    from latentrt.pipeline import Pipeline

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def add_arguments(parser: argparse.ArgumentParser, of: type) -> None:
    """Add everything but the prompt, with the settings of a kind of run."""
    groups = options.add_options(parser, of)
    groups["noise"].add_argument(
        "--one-stream",
        action="store_true",
        help="draw the noise of all --count pictures from the one seed S, as a batch in diffusers and ComfyUI",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="a .png, .jpg or .webp file, a name with {seed} or {index}, or a folder/ (default: latentrt-{seed}.png)",
    )
    arguments.add_tile(parser)
    previews.add_arguments(parser)
    arguments.add_model(parser)
    arguments.add_low_memory(parser)
    arguments.add_reporting(parser)


def paint(
    args: argparse.Namespace,
    prompt: str,
    settings: "Settings",
    start: "Callable[[Pipeline, Settings], Generation]",
) -> int:
    """Load the model, paint batch after batch, write each one's pictures when it is done, and say where they are.

    Args:
        args: of the command: where to write, and on what to run.
        prompt: what to paint.
        settings: of all batches, as the command line counts them.
        start: prepares a batch of these settings.
    """
    from latentrt.pictures.metadata import GenerationParameters, format_parameters

    output = plan(args.out, seeding.count(settings))
    prompts = format_parameters(GenerationParameters(prompt, settings.get("negative_prompt") or ""))
    output.check(_size(settings), prompts)
    batches = seeding.batches(settings, one_stream=args.one_stream, low_memory=args.low_memory)

    with (
        output.claimed() as save,
        previews.Previews(args, _fast(settings).decoder == "taesd") as shown,
        arguments.load(args) as pipeline,
    ):
        shown.open(pipeline)
        painted = _Painted()
        generations = (start(pipeline, batch) for batch in batches)
        with _Bar(len(batches), quiet=args.quiet) as bar:
            for generation in generations:
                # A picture's own size, and the model's, are known only now.
                output.check(generation.request.output_size, prompts)
                if not args.quiet and not painted.files:
                    previews.say_tiles(pipeline, generation.request.width, generation.request.height)
                result = bar.run(generation, shown)
                painted.add(result)
                for file in _write(result, save):
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
    parameters: "GenerationParameters" = field(init=False)  # of the first
    size: tuple[int, int] = field(
        init=False
    )  # of the files; `parameters` have that of the first or masked pass

    def add(self, result: "Result") -> None:
        if not self.seeds:
            self.parameters, self.size = result.parameters[0], result.images[0].size
        self.seeds += result.seeds
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

    def run(self, generation: "Generation", shown: previews.Previews) -> "Result":
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


def _fast(settings: "Settings") -> Fast:
    """The recipe, which options and pictures give as a record."""
    recipe = settings.get("fast")
    return recipe if isinstance(recipe, Fast) else Fast()


def _size(settings: "Settings") -> tuple[int, int] | None:
    width, height = settings.get("width"), settings.get("height")
    return None if width is None or height is None else (width, height)


def _write(result: "Result", save: Save) -> Iterator[Path]:
    from latentrt.pictures.metadata import format_parameters

    for image, seed, parameters in zip(result.images, result.seeds, result.parameters, strict=True):
        yield save(image, seed, format_parameters(parameters))


def _report(painted: _Painted, pipeline: "Pipeline") -> dict[str, Any]:
    """What was painted; `settings` has every key that any run has."""
    p = painted.parameters
    told = {
        name: getattr(p, name) for name in ("prompt", "negative_prompt", "model", "model_hash", "version")
    }
    for of in (*RUNS.values(), Hires):
        told |= record(of, {})
    told |= p.told
    if told["only_masked"]:
        told |= {"masked_area_width": p.width, "masked_area_height": p.height}
    told["width"], told["height"] = painted.size
    for key in ("seed", "variation_seed"):  # of one picture
        del told[key]
    told |= {"device": pipeline.provider.name, "dtype": pipeline.dtype}
    report = {"files": painted.files, "seeds": painted.seeds}
    if painted.variations:
        report["variation_seeds"] = painted.variations
    return report | {"settings": told, "timings": painted.timings}


def _summary(painted: _Painted, pipeline: "Pipeline") -> str:
    p = painted.parameters
    seeds = _span("seed", painted.seeds)
    if painted.variations:
        seeds += f", {_span('variation seed', painted.variations)}"
    stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in painted.timings.items())
    widened = f" ({', '.join(pipeline.widened)} fp32)" if pipeline.widened else ""
    return (
        f"{painted.size[0]}x{painted.size[1]}, {p.steps} steps, {p.sampler}, {seeds}, "
        f"{pipeline.provider.name} {pipeline.dtype}{widened}: {stages}"
    )


def _span(name: str, seeds: list[int]) -> str:
    return f"{name} {seeds[0]}" + (f"–{seeds[-1]}" if seeds[-1] != seeds[0] else "")
