"""`latentrt encode`: a picture becomes latents in a safetensors file."""

import argparse
import json
from pathlib import Path

from latentrt.claim import claim_file
from latentrt.cli import arguments
from latentrt.cli.console import say
from latentrt.cli.output import check_folder
from latentrt.cli.previews import say_tiles
from latentrt.errors import InputError

EXAMPLES = """\
examples:
  latentrt encode photo.png --out photo.safetensors
  latentrt encode photo.jpg --size 512x512 --model path/to/checkpoint --out photo.safetensors

The file holds one tensor, `latents`, float32 (1, c, h/8, w/8), scaled as the UNet takes it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("image", metavar="IMG", type=Path, help="the picture")
    parser.add_argument("--out", type=Path, required=True, metavar="L.safetensors", help="where to write")
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="WxH",
        help="resize first, to multiples of the model's factor (default: the picture's own, rounded down to them)",
    )
    parser.add_argument(
        "--seed",
        type=arguments.seed,
        metavar="S",
        help="draw from the encoder's distribution (default: its mean)",
    )
    arguments.add_tile(parser)
    arguments.add_model(parser)
    arguments.add_reporting(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.pictures.images import load_image, resize_to

    image = load_image(args.image)
    if args.out.suffix != ".safetensors":
        raise InputError(f"{args.out}: unknown suffix {args.out.suffix!r}; expected .safetensors")
    check_folder(args.out.parent)

    import latentrt
    from latentrt.models.safetensors import dump_safetensors

    model = "demo" if args.model is None else args.model
    with (
        claim_file(args.out) as claim,
        latentrt.load(
            model, device=args.device, dtype=args.dtype, tile=args.tile, force=args.force
        ) as pipeline,
    ):
        factor = pipeline.model.vae_scale_factor
        own = tuple(max(side // factor, 1) * factor for side in image.size)
        width, height = own if args.size is None else args.size
        if width % factor or height % factor:
            raise InputError(f"--size: expected multiples of {factor} for this model, got {width}x{height}")
        if (width, height) != image.size and not args.quiet:
            say(f"resized from {image.width}x{image.height} to {width}x{height}")
        if not args.quiet:
            say_tiles(pipeline, width, height)
        latents = pipeline.encode(resize_to(image, width, height), seed=args.seed)
        metadata = {"model": pipeline.model.name, "width": str(width), "height": str(height)}
        out = claim.write(lambda file: dump_safetensors(file, {"latents": latents}, metadata))
    if args.json:
        print(json.dumps({"files": [str(out)], "shape": latents.shape, **metadata}))
    else:
        print(out)
    return 0
