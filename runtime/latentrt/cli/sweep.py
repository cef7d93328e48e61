"""`latentrt sweep`: a grid of pictures over one to three axes, AUTOMATIC1111's X/Y/Z plot."""

import argparse
import contextlib
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.checks import MAX_PIXELS
from latentrt.cli import arguments, options
from latentrt.cli.axes import NO_AXIS, Axis, axis, varied
from latentrt.cli.console import progress_line, say
from latentrt.cli.output import plan
from latentrt.cli.previews import say_tiles
from latentrt.errors import InputError, SettingError
from latentrt.painting.fast import Fast
from latentrt.painting.kinds import drawn
from latentrt.painting.picture_settings import Img2ImgSettings

if TYPE_CHECKING:
    from PIL.Image import Image

    from latentrt.painting.generation import Generation
    from latentrt.pictures.metadata import GenerationParameters
    from latentrt.pipeline import Pipeline

EXAMPLES = f"""\
examples:
  latentrt sweep "a large red heart" --x "sampler=euler,ddim,DPM++ 2M Karras" --y steps=5,10,20 --out grid.png
  latentrt sweep "a fox" --model path/to/checkpoint --x "guidance-scale=1-10 (+3)" --y seed=1-3 --keep foxes/
  latentrt sweep "an oil painting" --image photo.jpg --x "strength=0.2-1 [5]" --y seed=7,8

axes: {", ".join(varied())}
values: separated by commas; those of numbers also 1-5, 10-50 (+10), 0-1 [5]. One with a comma stands in double quotes.
"""

# One picture to a cell, all of one noise unless an axis says otherwise.
_OF_ITS_OWN = ("seed", "num_images", "batch_size", "variation_strength", "variation_seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("prompt", metavar="PROMPT", help="what to paint")
    for name, where in (("x", "columns"), ("y", "rows"), ("z", "blocks, one under the other")):
        parser.add_argument(
            f"--{name}",
            type=axis,
            metavar="NAME=V,V,…",
            required=name == "x",
            help=f"what varies over {where}",
        )
    options.add_options(parser, Img2ImgSettings, _OF_ITS_OWN)
    parser.add_argument(
        "--seed", type=arguments.seed, metavar="S", help="of each picture (default: random, the same for all)"
    )
    parser.add_argument("--image", type=Path, metavar="IMG", help="paint over this picture")
    parser.add_argument(
        "--depth", type=Path, metavar="IMG", help="of a depth model: how far all in it is (see img2img)"
    )
    parser.add_argument(
        "--out",
        default="sweep.png",
        metavar="FILE",
        help="the grid: .png, .jpg or .webp (default: sweep.png)",
    )
    parser.add_argument(
        "--keep", metavar="PATH", help="write the single pictures as well: a folder/, or a name with {index}"
    )
    arguments.add_tile(parser)
    arguments.add_taesd(parser)
    arguments.add_model(parser)
    arguments.add_low_memory(parser)
    arguments.add_reporting(parser)


@dataclass(frozen=True)
class _Cell:
    """One picture to be: its place (z, y, x) and what makes it."""

    place: tuple[int, int, int]
    generation: "Generation"


def run(args: argparse.Namespace) -> int:
    """Run it."""
    x, y, z = (NO_AXIS if one is None else one for one in (args.x, args.y, args.z))
    _check_axes(args, (x, y, z))
    count = len(x.values) * len(y.values) * len(z.values)
    output = plan(args.out, 1)
    output.check()
    kept = None if args.keep is None else plan(args.keep, count)
    if kept is not None:
        kept.check()
    seed = drawn(args.seed)
    shared = {**options.given(args, Img2ImgSettings), "seed": seed}
    recipes = [one for axis in (x, y, z) for one in axis.values if axis.of.setting == "fast"]
    arguments.check_taesd(args, [*recipes, shared.get("fast", Fast())])
    shown: dict[str, Any] = {}
    if args.image is not None:
        from latentrt.painting.following import reads_opaque
        from latentrt.pictures.depth_map import load_depth
        from latentrt.pictures.images import load_image

        shown = {"image": load_image(args.image, reads_opaque(shared.get("like")))}
        shown |= {} if args.depth is None else {"depth": load_depth(args.depth)}

    from latentrt.pictures.metadata import format_parameters

    started = time.perf_counter()
    pictures: dict[tuple[int, int, int], Image] = {}
    made: dict[tuple[int, int, int], GenerationParameters] = {}
    files = []
    with (
        output.claimed() as save_grid,
        contextlib.nullcontext() if kept is None else kept.claimed() as keep,
        arguments.load(args) as pipeline,
    ):
        cells = _cells(pipeline, args.prompt, shown, shared, (x, y, z))
        _check_size(cells, args.out)
        if not args.quiet:
            largest = max((cell.generation.request for cell in cells), key=lambda r: r.width * r.height)
            say_tiles(pipeline, largest.width, largest.height)
        with progress_line(args.quiet) as show:
            for number, cell in enumerate(cells, 1):
                for step in cell.generation:
                    show(f"picture {number} of {count}, step {step.index + 1} of {step.total}")
                result = cell.generation.result()
                pictures[cell.place], made[cell.place] = result.images[0], result.parameters[0]
                if keep is not None:
                    text = format_parameters(result.parameters[0])
                    files.append(str(keep(result.images[0], result.seeds[0], text)))
        summary = f"{count} pictures, {pipeline.provider.name} {pipeline.dtype}"
        first = made[0, 0, 0]
        extra = (("Script", "X/Y/Z plot"), *_entries("X", x), *_entries("Y", y), *_entries("Z", z))
        text = format_parameters(replace(first, extra=first.extra + extra))
        grid = save_grid(_draw(pictures, (x, y, z)), seed, text)
    seconds = time.perf_counter() - started
    if args.json:
        names = ("x", "y", "z")
        axes = {
            name: {"type": one.of.label, "values": one.texts}
            for name, one in zip(names, (x, y, z), strict=True)
            if one is not NO_AXIS
        }
        print(json.dumps({"grid": str(grid), "files": files, "axes": axes, "seconds": seconds}))
    else:
        for path in (*files, grid):
            print(path, flush=True)
        if not args.quiet:
            say(f"{summary}: {seconds:.1f} s")
    return 0


def _check_axes(args: argparse.Namespace, axes: tuple[Axis, Axis, Axis]) -> None:
    settings = [one.of.setting for one in axes if one is not NO_AXIS]
    twice = next((one.of for one in axes if settings.count(one.of.setting) > 1), None)
    if twice is not None:
        raise InputError(f"axes: {twice.label} stands on two of them")
    for name in options.given(args, Img2ImgSettings):
        if name in settings or (name in ("width", "height") and "size" in settings):
            raise SettingError(name, "does nothing beside the axis over it")
    if args.image is None and args.depth is not None:
        raise SettingError("depth", "is how far all in a picture is; give that with --image")
    if args.image is None and (args.strength is not None or "strength" in settings):
        raise SettingError("strength", "is how far to go from a picture; give that with --image")


def _cells(
    pipeline: "Pipeline",
    prompt: str,
    shown: dict[str, Any],
    shared: dict[str, Any],
    axes: tuple[Axis, Axis, Axis],
) -> list[_Cell]:
    """Every picture, checked, in the order in which networks are made anew least often.

    Raises:
        InputError: a value, or a combination of values, cannot be painted; the message says which.
    """
    x, y, z = axes
    cells = []
    for place in product(range(len(z.values)), range(len(y.values)), range(len(x.values))):
        chosen = [(one, index) for one, index in zip((z, y, x), place, strict=True) if one is not NO_AXIS]
        settings = {"prompt": prompt, **shared}
        for one, index in chosen:
            settings |= options.apart(one.of.setting, one.values[index], Img2ImgSettings)
        settings["seed"] = [settings["seed"]]
        try:
            start = partial(pipeline.start_img2img, **shown) if shown else pipeline.start_txt2img
            cells.append(_Cell(place, start(**settings)))
        except InputError as error:
            where = ", ".join(f"{one.of.label} {one.texts[index]}" for one, index in chosen)
            raise InputError(f"{where}: {options.in_options(error)}") from None
    return sorted(cells, key=lambda cell: (cell.generation.request.latent_size, cell.place))


def _check_size(cells: list[_Cell], out: str) -> None:
    """Refuse a grid that is too large, before it is painted."""
    from latentrt.pictures.images import check_writable, output_format

    width, height = (
        max(getattr(cell.generation.request, side) for cell in cells) for side in ("width", "height")
    )
    z, y, x = (max(cell.place[i] for cell in cells) + 1 for i in range(3))
    size = (x * width, z * y * height)
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(
            f"{x * y * z} pictures of {width}x{height} make a grid of {size[0]}x{size[1]}; expected at most "
            f"{MAX_PIXELS:,} pixels"
        )
    check_writable(output_format(Path(out)), (size[0] + width, size[1] + height))  # labels too


def _draw(pictures: "dict[tuple[int, int, int], Image]", axes: tuple[Axis, Axis, Axis]) -> "Image":
    from latentrt.pictures.grid import draw_grid

    x, y, z = axes
    blocks = [
        [[pictures[k, j, i] for i in range(len(x.values))] for j in range(len(y.values))]
        for k in range(len(z.values))
    ]
    return draw_grid(blocks, x.labels, y.labels, z.labels)


def _entries(name: str, one: Axis) -> tuple[tuple[str, str], ...]:
    if one is NO_AXIS:
        return ()
    return (f"{name} Type", one.of.label), (f"{name} Values", ",".join(map(_quoted, one.texts)))


def _quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text
