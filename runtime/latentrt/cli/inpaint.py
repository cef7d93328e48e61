"""`latentrt inpaint`: a part of a picture is painted anew."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from latentrt.cli import again, options, paint
from latentrt.errors import InputError
from latentrt.painting.picture_settings import InpaintSettings

if TYPE_CHECKING:
    from latentrt.painting.recall import Recalled

EXAMPLES = """\
examples:
  latentrt inpaint "a red door" --image house.jpg --mask door.png --model path/to/stable-diffusion-inpainting
  latentrt inpaint "a smile" --image people.png --mask face.png --only-masked --strength 0.5 --model path/to/model
  latentrt inpaint "autumn" --image park.png --mask gradient.png --differential --model path/to/model

White is painted, black is kept; in a mask with transparency what is transparent is painted. Any Stable Diffusion 1.x
checkpoint serves, made for inpainting or not.
"""
PADDING = 32  # AUTOMATIC1111's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    again.add_arguments(parser)
    parser.add_argument("--image", type=Path, required=True, metavar="IMG", help="the picture to paint into")
    parser.add_argument(
        "--mask", type=Path, required=True, metavar="MASK", help="where, of the picture's proportions"
    )
    parser.add_argument(
        "--only-masked",
        action="store_true",
        help="paint the masked region alone, at --size (default: the model's), and put it into the picture",
    )
    paint.add_arguments(parser, InpaintSettings)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.painting.following import reads_opaque
    from latentrt.pictures.images import load_image
    from latentrt.pictures.mask import load_mask

    if args.padding is not None and not args.only_masked and args.picture is None:
        raise InputError("--padding: does nothing without --only-masked")
    if args.only_masked and args.padding is None:
        args.padding = PADDING
    given: Recalled = options.given(args, InpaintSettings)  # type: ignore[assignment]
    prompt, settings = again.filled(args, given, "inpaint")
    image, mask = load_image(args.image, reads_opaque(settings.get("like"))), load_mask(args.mask)
    return paint.paint(
        args,
        prompt,
        settings,
        lambda pipeline, settings: pipeline.start_inpaint(prompt, image, mask, **settings),
    )
