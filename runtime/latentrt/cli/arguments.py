"""Arguments that several commands share, and the kinds of their values."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.checks import DEVICES, DTYPES, MAX_THREADS, PREDICTION_TYPES
from latentrt.cli.options import reading
from latentrt.errors import InputError
from latentrt.painting.fast import Fast
from latentrt.painting.kinds import Number, Seed, Size, Whole, drawn

if TYPE_CHECKING:
    from latentrt.pipeline import Pipeline

# Networks that may be given beside a model.
PARTS = {
    "vae": "an autoencoder, in place of the model's own or where it has none",
    "text-encoder": "a text encoder, likewise; of SDXL's two, may be repeated",
    "unet": "a UNet of the model's family, likewise",
}

natural: Callable[[str], int] = reading(Whole(1))
finite: Callable[[str], float] = reading(Number())
size: Callable[[str], tuple[int, int]] = reading(Size())


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model, --device, --dtype, --threads, --force, --no-cache."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="demo|PATH|ORG/NAME",
        help="the included demo model, a .safetensors file, a diffusers folder, a bundle, ONNX graphs that others "
        "exported, or a model of the Hugging Face hub, org/name[@revision], which is downloaded if it is not in the "
        "cache (default: demo)",
    )
    add_parts(group)
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="what to run on; auto takes the first that works here of cuda, openvino where it computes in bf16, cpu "
        "(see `latentrt doctor`)",
    )
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="what to compute in (default: what suits the device); bf16: of OpenVINO, given AVX512-BF16 or AMX; "
        "int8, on a CPU: UNet and VAE decoder in 8-bit integers, in a quarter of the memory, and faster with VNNI",
    )
    group.add_argument(
        "--threads",
        type=reading(Whole(1, MAX_THREADS)),
        metavar="N",
        help="how many compute on the processor (default: what LATENTRT_THREADS says, else one for each core that this "
        "process may use)",
    )
    group.add_argument(
        "--force",
        action="store_true",
        help="start also what is predicted to take more memory than there is",
    )
    group.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="neither use nor make prepared weights, with which large networks load at once on a CPU (`latentrt cache` "
        "lists them)",
    )


def add_parts(group: "argparse._ArgumentGroup") -> None:
    """--vae, --text-encoder, --unet, --prediction-type."""
    for name, of in PARTS.items():
        group.add_argument(
            f"--{name}",
            metavar="PATH",
            action="append" if name == "text-encoder" else "store",
            help=f"a .safetensors file or diffusers folder of {of}",
        )
    group.add_argument(
        "--prediction-type",
        choices=PREDICTION_TYPES,
        help="what the UNet predicts, where the model's files say something else, or nothing",
    )


def parts(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_parts` was given, as `latentrt.load` takes it."""
    return {
        "vae": args.vae,
        "text_encoder": args.text_encoder or [],
        "unet": args.unet,
        "prediction_type": args.prediction_type,
    }


def load(args: argparse.Namespace, model: str | None = None) -> "Pipeline":
    """The model of --model on what the options say, or another one.

    Args:
        args: with what `add_model` adds, and `--tile`, `--low-memory` where the command has them.
        model: another than that of --model, to which its parts do not belong.
    """
    import latentrt

    placed: dict[str, Any] = {"device": args.device, "dtype": args.dtype, "tile": args.tile}
    placed |= {"cache": args.cache, "threads": args.threads}
    placed["low_memory"] = getattr(args, "low_memory", False)
    more = {"force": args.force or None}
    if model is None:
        more["taesd"] = getattr(args, "taesd", None)
    if model is None:
        more |= {name: value or None for name, value in parts(args).items()}
        model = "demo" if args.model is None else args.model
    return latentrt.load(
        model, **placed, **{name: value for name, value in more.items() if value is not None}
    )


def parts_given(args: argparse.Namespace) -> set[str]:
    """What a picture's text calls the models and parts that are given beside --model."""
    given = {
        "Refiner": getattr(args, "refiner", None),
        "VAE": args.vae,
        "Text encoder": args.text_encoder,
        "UNet": args.unet,
        "Prediction type": args.prediction_type,
        "Depth map": getattr(args, "depth", None),
    }
    return {name for name, value in given.items() if value}


def add_tile(parser: argparse.ArgumentParser) -> None:
    """--tile."""
    parser.add_argument(
        "--tile",
        type=tile,
        default="auto",
        metavar="auto|off|SIZE",
        help="send large pictures through the autoencoder in tiles of SIZE pixels, which takes less memory and twice "
        "the time, and changes the picture somewhat (default: auto, tiles of 512 for pictures above 1024x1024, of the "
        "x4 upscaler 256 above 512x512)",
    )


def add_taesd(parser: "argparse._ActionsContainer") -> None:
    """--taesd."""
    parser.add_argument(
        "--taesd",
        type=Path,
        metavar="FOLDER",
        help="a TAESD, which decodes previews, and with --fast decoder=taesd the pictures (default: the model's own "
        "folder taesd; for previews else a linear map)",
    )


def check_taesd(args: argparse.Namespace, recipes: Iterable[Fast]) -> None:
    """Refuse a TAESD that decodes nothing.

    Raises:
        InputError: there is one, and no recipe asks for it.
    """
    if args.taesd is not None and all(recipe.decoder != "taesd" for recipe in recipes):
        raise InputError("--taesd: does nothing without --fast decoder=taesd")


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
