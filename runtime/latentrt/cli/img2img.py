"""`latentrt img2img`: a picture and a prompt become other pictures."""

import argparse
from pathlib import Path

from latentrt.cli import options, paint
from latentrt.painting.picture_settings import Img2ImgSettings

EXAMPLES = """\
examples:
  latentrt img2img "an oil painting of a harbour" --image photo.jpg --strength 0.6 --model path/to/checkpoint
  latentrt img2img "a large red heart" --image sketch.png --size 128x128 --seed 3 --out heart.png

The picture is resized to --size, or to its own size rounded down to multiples of the model's factor (8 for Stable
Diffusion). Rotation by EXIF is applied, transparent parts are laid over white.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("prompt", metavar="PROMPT", help="what to paint")
    parser.add_argument("--image", type=Path, required=True, metavar="IMG", help="the picture to start from")
    paint.add_arguments(parser, Img2ImgSettings)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.pictures.images import load_image

    image = load_image(args.image)
    settings: Img2ImgSettings = options.given(args, Img2ImgSettings)  # type: ignore[assignment]
    return paint.paint(
        args,
        args.prompt,
        settings,
        lambda pipeline, settings: pipeline.start_img2img(args.prompt, image, **settings),
    )
