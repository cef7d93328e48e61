"""Arguments that several commands share, and the kinds of their values."""

import argparse
import math
import re
import secrets
from typing import Any

MAX_SEED = 2**64 - 1
MAX_PIXELS = 2**26


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="demo|PATH",
        help="the included demo model, a diffusers folder, or a bundle (default: demo)",
    )
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "openvino"),
        default="auto",
        help="what to run on; auto takes the first that works here of cuda, openvino, cpu (see `latentrt doctor`)",
    )
    group.add_argument(
        "--dtype",
        choices=("auto", "fp16", "fp32"),
        default="auto",
        help="what to compute in (default: what suits the device)",
    )


def add_tile(parser: argparse.ArgumentParser) -> None:
    """--tile."""
    parser.add_argument(
        "--tile",
        type=tile,
        default="auto",
        metavar="auto|off|SIZE",
        help="send large pictures through the autoencoder in tiles of SIZE pixels, which takes less memory and twice "
        "the time (default: auto, tiles of 512 for pictures above 1024x1024)",
    )


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """--json, --quiet."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of paths")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary on stderr")


def size(text: str) -> tuple[int, int]:
    """`WxH` in pixels. Which multiples a model takes is known once it is open."""
    match = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text.lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, as 512x512, got {text!r}")
    width, height = int(match[1]), int(match[2])
    if width == 0 or height == 0:
        raise argparse.ArgumentTypeError(f"expected sides of 1 or more, got {text}")
    if width * height > MAX_PIXELS:
        raise argparse.ArgumentTypeError(f"expected at most {MAX_PIXELS:,} pixels, got {text}")
    return width, height


def hires(text: str) -> float | tuple[int, int]:
    """`2x`, how many times larger; or `WxH`."""
    match = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,4})?)[x×]", text.lower())
    if match is not None:
        return float(match[1])
    try:
        return size(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or how many times larger, as 2x") from None


def tile(text: str) -> Any:
    """`auto`, `off`, or a side in pixels. Which multiples a model takes is known once it is open."""
    try:
        return text if text in ("auto", "off") else natural(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected auto, off or a size in pixels, got {text!r}") from None


def natural(text: str) -> int:
    """A whole number of 1 or more."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """How many pictures: 1 to 10000."""
    number = natural(text)
    if number > 10_000:
        raise argparse.ArgumentTypeError(f"expected at most 10000, got {text}")
    return number


def whole(text: str) -> int:
    """A whole number of 0 or more."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """0 … 2⁶⁴ − 1; or −1, AUTOMATIC1111's word for a random one."""
    if text != "-1" and not (re.fullmatch(r"[0-9]{1,20}", text) and int(text) <= MAX_SEED):
        raise argparse.ArgumentTypeError(f"expected 0 to {MAX_SEED}, or -1 for a random one, got {text!r}")
    return int(text)


def seeds(text: str) -> list[int]:
    """Seeds with commas between them."""
    return [seed(part.strip()) for part in text.split(",")]


def drawn(seed: int | None) -> int:
    """The seed that was asked for, or a random one of 32 bits where none was."""
    return secrets.randbits(32) if seed is None or seed == -1 else seed


def finite(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return number


def scale(text: str) -> float | list[float]:
    """A number, or several with commas between them."""
    points = [finite(part.strip()) for part in text.split(",")]
    return points if len(points) > 1 else points[0]


def interval(text: str) -> tuple[float, float]:
    """Two shares, the first below the second, with a comma between them."""
    shares = [share(part.strip()) for part in text.split(",")]
    if len(shares) != 2 or shares[0] >= shares[1]:
        raise argparse.ArgumentTypeError(f"expected START,END with 0 <= START < END <= 1, got {text!r}")
    return shares[0], shares[1]


def radius(text: str) -> float:
    """A number of 0 or more."""
    number = finite(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text!r}")
    return number


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = finite(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number


def strength(text: str) -> float:
    """More than 0, at most 1."""
    number = finite(text)
    if not 0 < number <= 1:
        hint = "; 0 would give the picture back as it is" if number == 0 else ""
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most 1, got {text!r}{hint}")
    return number


# What the library calls a setting -> the option that sets it.
_OPTIONS = {
    "num_inference_steps": "--steps",
    "num_images": "--count",
    "negative_prompt": "--negative",
    "guidance_scale": "--guidance-scale",
    "guidance_rescale": "--guidance-rescale",
    "guidance_interval": "--guidance-interval",
    "clip_skip": "--clip-skip",
    "batch_size": "--batch-size",
    "invert_mask": "--invert-mask",
    "mask_blur": "--mask-blur",
    "padding_mask_crop": "--only-masked",
    "variation_strength": "--variation-strength",
}


def in_options(message: str) -> str:
    """An error of the library in the words of the command line."""
    return re.sub(rf"\b({'|'.join(_OPTIONS)})\b", lambda found: _OPTIONS[found[1]], message)
