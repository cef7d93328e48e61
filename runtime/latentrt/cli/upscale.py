"""`latentrt upscale`: a picture becomes a larger one, by a model that was made for it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from latentrt.cli import again, options, paint
from latentrt.painting.picture_settings import UpscaleSettings

if TYPE_CHECKING:
    from latentrt.painting.recall import Recalled

EXAMPLES = """\
examples:
  latentrt upscale "a white cat" --image cat.png --model path/to/stable-diffusion-x4-upscaler --out large.png
  latentrt upscale "" --image photo.jpg --noise-level 0 --model path/to/x4-upscaler.safetensors

The picture becomes four times as wide and high; with --size, it is resized to a fourth of that first. The prompt says
what is in it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    again.add_arguments(parser)
    parser.add_argument("--image", type=Path, required=True, metavar="IMG", help="the picture to enlarge")
    paint.add_arguments(parser, UpscaleSettings)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.pictures.images import load_image

    image = load_image(args.image)
    given: Recalled = options.given(args, UpscaleSettings)  # type: ignore[assignment]
    prompt, settings = again.filled(args, given, "upscale")
    return paint.paint(
        args,
        prompt,
        settings,
        lambda pipeline, settings: pipeline.start_upscale(prompt, image, **settings),
    )
