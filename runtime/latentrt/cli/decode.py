"""`latentrt decode`: latents in a safetensors file become pictures."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from latentrt.checks import MAX_PIXELS
from latentrt.cli import arguments
from latentrt.cli.output import plan
from latentrt.cli.previews import say_tiles
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.models.safetensors import Tensor
    from latentrt.models.weights import Weights

EXAMPLES = """\
examples:
  latentrt decode photo.safetensors --out photo.png
  latentrt decode batch.safetensors --out pictures/ --model path/to/checkpoint

The file holds a tensor `latents` (b, c, h/8, w/8), scaled as the UNet takes it; or one tensor of any name.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("latents", metavar="L.safetensors", type=Path, help="the latents")
    parser.add_argument(
        "--out", required=True, metavar="IMG", help="a .png, .jpg or .webp file, or as in `generate`"
    )
    arguments.add_tile(parser)
    arguments.add_model(parser)
    arguments.add_reporting(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.models.weights import Weights

    if not args.latents.is_file():
        raise InputError(f"{args.latents}: no such file")
    weights = Weights((args.latents,))  # headers alone: what the file holds is known before it is read
    tensor = _find_latents(args.latents, weights)
    output = plan(args.out, tensor.shape[0])
    output.check()

    import latentrt

    model = "demo" if args.model is None else args.model
    files = []
    with (
        output.claimed() as save,
        latentrt.load(
            model, device=args.device, dtype=args.dtype, tile=args.tile, force=args.force
        ) as pipeline,
    ):
        height, width = (side * pipeline.model.vae_scale_factor for side in tensor.shape[2:])
        if width * height > MAX_PIXELS:
            raise InputError(
                f"{args.latents}: {tensor.name} has shape {tensor.shape}, of pictures of {width}x{height}; expected at "
                f"most {MAX_PIXELS:,} pixels"
            )
        latents = weights.read(tensor)
        if not args.quiet:
            say_tiles(pipeline, width, height)
        for index in range(len(latents)):
            for image in pipeline.decode(latents[index : index + 1]):
                path = save(image, index)
                files.append(str(path))
                if not args.json:
                    print(path, flush=True)
    if args.json:
        print(json.dumps({"files": files}))
    return 0


def _find_latents(path: Path, weights: "Weights") -> "Tensor":
    tensor = weights.get("latents", next(iter(weights.values())) if len(weights) == 1 else None)
    if tensor is None:
        names = ", ".join(list(weights)[:4]) or "none"
        more = f" and {len(weights) - 4} more" if len(weights) > 4 else ""
        raise InputError(f"{path}: expected a tensor `latents`, or one alone, got {names}{more}")
    shape = tensor.shape
    if len(shape) != 4 or 0 in shape or not tensor.is_float:
        raise InputError(f"{path}: expected floats (b, c, h, w), got {tensor.dtype} {shape}")
    return tensor
