"""`latentrt inpaint`: a part of a picture is painted anew."""

import argparse
from pathlib import Path

from latentrt.cli import arguments, paint
from latentrt.errors import InputError

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
    parser.add_argument("prompt", metavar="PROMPT", help="what to paint")
    parser.add_argument("--image", type=Path, required=True, metavar="IMG", help="the picture to paint into")
    parser.add_argument(
        "--mask", type=Path, required=True, metavar="MASK", help="where, of the picture's proportions"
    )
    parser.add_argument(
        "--strength",
        type=arguments.strength,
        default=1.0,
        metavar="F",
        help="how far to go from what is there: more than 0, at most 1, which forgets it (default: 1)",
    )
    parser.add_argument(
        "--mask-blur",
        type=arguments.radius,
        default=4.0,
        metavar="R",
        help="soften the mask's edge by a Gaussian of so many pixels (default: 4)",
    )
    parser.add_argument("--invert-mask", action="store_true", help="paint what is black, or not transparent")
    parser.add_argument(
        "--only-masked",
        action="store_true",
        help="paint the masked region alone, at --size (default: the model's), and put it into the picture",
    )
    parser.add_argument(
        "--padding",
        type=arguments.whole,
        metavar="N",
        help=f"pixels of the picture around that region that are shown to the model (default: {PADDING})",
    )
    parser.add_argument(
        "--differential",
        action="store_true",
        help="paint grey too, the darker the fewer of the last steps (differential diffusion)",
    )
    parser.add_argument(
        "--no-overlay",
        action="store_true",
        help="leave the picture outside of the mask as the autoencoder gives it back, as diffusers does",
    )
    paint.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.pictures.images import load_image
    from latentrt.pictures.mask import load_mask

    if args.padding is not None and not args.only_masked:
        raise InputError("--padding: does nothing without --only-masked")
    padding = PADDING if args.padding is None else args.padding
    image, mask = load_image(args.image), load_mask(args.mask)
    return paint.paint(
        args,
        lambda pipeline, settings: pipeline.start_inpaint(
            args.prompt,
            image,
            mask,
            strength=args.strength,
            mask_blur=args.mask_blur,
            invert_mask=args.invert_mask,
            padding_mask_crop=padding if args.only_masked else None,
            differential=args.differential,
            overlay=not args.no_overlay,
            **settings,
        ),
    )
