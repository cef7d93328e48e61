"""`latentrt img2img`: a picture and a prompt become other pictures."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import again, options, paint
from latentrt.painting.picture_settings import Img2ImgSettings

if TYPE_CHECKING:
    from latentrt.painting.recall import Recalled

EXAMPLES = """\
examples:
  latentrt img2img "an oil painting of a harbour" --image photo.jpg --strength 0.6 --model path/to/checkpoint
  latentrt img2img --from heart.png --image sketch.png         with the settings that heart.png was painted with
  latentrt img2img "a large red heart" --image sketch.png --size 128x128 --seed 3 --out heart.png

The picture is resized to --size, or to its own size rounded down to multiples of the model's factor (8 for Stable
Diffusion). Rotation by EXIF is applied, transparent parts are laid over white.

A depth model (Stable Diffusion 2's) paints after --depth, a grey picture in which near things are bright.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    again.add_arguments(parser)
    parser.add_argument("--image", type=Path, required=True, metavar="IMG", help="the picture to start from")
    parser.add_argument(
        "--depth",
        type=Path,
        metavar="IMG",
        help="of a depth model: how far all in it is, a grey picture of its proportions, near things bright",
    )
    paint.add_arguments(parser, Img2ImgSettings)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    from latentrt.painting.following import reads_opaque
    from latentrt.pictures.depth_map import load_depth
    from latentrt.pictures.images import load_image

    shown: dict[str, Any] = {} if args.depth is None else {"depth": load_depth(args.depth)}
    given: Recalled = options.given(args, Img2ImgSettings)  # type: ignore[assignment]
    prompt, settings = again.filled(args, given, "img2img")
    image = load_image(args.image, reads_opaque(settings.get("like")))
    return paint.paint(
        args,
        prompt,
        settings,
        lambda pipeline, settings: pipeline.start_img2img(prompt, image, **shown, **settings),
    )
