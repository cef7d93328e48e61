"""`latentrt generate`: a prompt becomes pictures."""

import argparse
import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any

from latentrt.cli import again, arguments, options, paint
from latentrt.errors import InputError
from latentrt.painting.kinds import Number
from latentrt.painting.second_pass import Hires
from latentrt.painting.settings import Settings

if TYPE_CHECKING:
    from latentrt.painting.recall import Recalled

EXAMPLES = """\
examples:
  latentrt generate "a small yellow star above a large green ring"
  latentrt generate "a lighthouse at dusk" --model path/to/stable-diffusion-v1-5 --size 512x768 --steps 25 --seed 7
  latentrt generate "a fox" --negative "blurry" --sampler "DPM++ 2M Karras" --count 4 --out foxes/
  latentrt generate --from heart.png --steps 50 --out finer.png     the same picture again, in more steps
  latentrt generate "a castle" --model path/to/checkpoint --hires 2x --preview castle-preview.png
  latentrt generate "a fox" --model path/to/sdxl --refiner path/to/refiner --low-memory
  latentrt generate "a fox" --json --quiet | jq -r .files[0]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    again.add_arguments(parser)
    group = parser.add_argument_group("larger than the model was made for (AUTOMATIC1111's hires fix)")
    group.add_argument(
        "--hires",
        type=_enlarged,
        metavar="2x|WxH|off",
        help="enlarge the picture of --size so many times, or to WxH, and paint over it; off leaves out that of --from",
    )
    options.add_options(group, Hires)
    group = parser.add_argument_group("ended by another model")
    group.add_argument(
        "--refiner", metavar="MODEL", help="a model, as SDXL's refiner, that paints the end of the run"
    )
    group.add_argument(
        "--refiner-start",
        type=options.reading(Number(0, 1)),
        metavar="F",
        help="the share of the run after which it does: more than 0, less than 1 (default: 0.8)",
    )
    paint.add_arguments(parser, Settings)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    given: Recalled = options.given(args, Settings)  # type: ignore[assignment]
    prompt, settings = again.filled(args, given, "txt2img")
    hires = settings.pop("hires", None)
    hires = _hires(args, hires)
    if args.refiner is None and args.refiner_start is not None:
        raise InputError("--refiner-start: does nothing without --refiner")

    refined: dict[str, Any] = {}
    with contextlib.ExitStack() as opened:
        if args.refiner is not None:
            refined["refiner"] = opened.enter_context(arguments.load(args, args.refiner))
            refined["refiner_start"] = 0.8 if args.refiner_start is None else args.refiner_start
        return paint.paint(
            args,
            prompt,
            settings,
            lambda pipeline, settings: pipeline.start_txt2img(prompt, hires=hires, **refined, **settings),
        )


def _enlarged(text: str) -> str | float | tuple[int, int]:
    """`off`; `2x`, how many times larger; or `WxH`."""
    if text == "off":
        return text
    match = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,4})?)[x×]", text.lower())
    if match is not None:
        return float(match[1])
    try:
        size: tuple[int, int] = arguments.size(text)
        return size
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or how many times larger, as 2x") from None


def _hires(args: argparse.Namespace, recalled: Hires | None) -> Hires | None:
    """The second pass: what was asked for, over what the picture of --from tells."""
    from latentrt.painting.upscale import find_upscaler

    given = options.given(args, Hires)
    if args.hires == "off" or (args.hires is None and recalled is None):
        if given:
            name = options.option_of(f"hires {next(iter(given))}")
            raise InputError(f"{name}: does nothing without --hires")
        return None
    if isinstance(args.hires, tuple):
        given["size"] = args.hires
    elif args.hires is not None:
        given |= {"scale": args.hires, "size": None}
    hires = dataclasses.replace(Hires() if recalled is None else recalled, **given)
    find_upscaler(hires.upscaler)  # refused before a model is loaded
    return hires
