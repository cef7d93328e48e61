"""`latentrt decode`: latents in a safetensors file become pictures."""

import argparse
import json
from pathlib import Path

from latentrt.cli import arguments
from latentrt.cli.output import plan
from latentrt.errors import InputError

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
    arguments.add_model(parser)
    arguments.add_reporting(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.weights import read_safetensors

    if not args.latents.is_file():
        raise InputError(f"{args.latents}: no such file")
    tensors = read_safetensors(args.latents)
    latents = tensors.get("latents", next(iter(tensors.values())) if len(tensors) == 1 else None)
    if latents is None:
        raise InputError(
            f"{args.latents}: expected a tensor `latents`, or one alone, got {', '.join(tensors) or 'none'}"
        )
    if latents.ndim != 4 or 0 in latents.shape or latents.dtype.kind != "f":
        raise InputError(f"{args.latents}: expected floats (b, c, h, w), got {latents.dtype} {latents.shape}")
    output = plan(args.out, len(latents))
    output.check()

    import latentrt
    from latentrt.images import save_image

    model = "demo" if args.model is None else args.model
    files = []
    with latentrt.load(model, device=args.device, dtype=args.dtype) as pipeline:
        for index in range(len(latents)):
            for image in pipeline.decode(latents[index : index + 1]):
                path = output.next_path(index)
                save_image(image, path)
                files.append(str(path))
                if not args.json:
                    print(path, flush=True)
    if args.json:
        print(json.dumps({"files": files}))
    return 0
