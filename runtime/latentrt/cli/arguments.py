"""Arguments that several commands share, and the kinds of their values."""

import argparse
from collections.abc import Callable
from typing import Any

from latentrt.checks import DEVICES, DTYPES
from latentrt.cli.options import reading
from latentrt.painting.kinds import Number, Seed, Size, Whole, drawn

natural: Callable[[str], int] = reading(Whole(1))
finite: Callable[[str], float] = reading(Number())
size: Callable[[str], tuple[int, int]] = reading(Size())


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype, --force."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="demo|PATH",
        help="the included demo model, a diffusers folder, or a bundle (default: demo)",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="what to run on; auto takes the first that works here of cuda, openvino, cpu (see `latentrt doctor`)",
    )
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="what to compute in (default: what suits the device)",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="start also what is predicted to take more memory than there is",
    )


def add_tile(parser: argparse.ArgumentParser) -> None:
    """--tile."""
    parser.add_argument(
        "--tile",
        type=tile,
        default="auto",
        metavar="auto|off|SIZE",
        help="send large pictures through the autoencoder in tiles of SIZE pixels, which takes less memory and twice "
        "the time, and changes the picture somewhat (default: auto, tiles of 512 for pictures above 1024x1024)",
    )


def add_low_memory(parser: argparse.ArgumentParser) -> None:
    """--low-memory."""
    parser.add_argument(
        "--low-memory",
        action="store_true",
        help="free each network when its stage is over; all pictures are decoded and written at the end",
    )


def add_reporting(parser: argparse.ArgumentParser) -> None:
    """--json, --quiet."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of paths")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary on stderr")


def tile(text: str) -> Any:
    """`auto`, `off`, or a side in pixels. Which multiples a model takes is known once it is open."""
    try:
        return text if text in ("auto", "off") else natural(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected auto, off or a size in pixels, got {text!r}") from None


def seed(text: str) -> int:
    """A seed; for -1 one is drawn."""
    asked: int | None = reading(Seed())(text)
    return drawn(asked)
