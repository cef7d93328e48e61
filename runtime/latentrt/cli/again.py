"""`--from PICTURE`: settings from the text of a picture."""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments, options
from latentrt.cli.console import say, warn
from latentrt.errors import InputError, TextError
from latentrt.painting.second_pass import Hires
from latentrt.pictures.metadata import number_text

if TYPE_CHECKING:
    from latentrt.painting.recall import Recalled
    from latentrt.painting.text_meaning import Meaning
    from latentrt.pictures.writers import PictureText

# Of what was taken, what is told first.
_FIRST = ("sampler", "schedule", "num_inference_steps", "guidance_scale", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PROMPT, --from, --plain."""
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to paint")
    parser.add_argument(
        "--from",
        dest="picture",
        type=Path,
        metavar="PICTURE",
        help="take everything that is not given from the text that a picture carries, made by latentrt, AUTOMATIC1111, "
        "Forge, SD.Next, Fooocus, SwarmUI, InvokeAI and others (`latentrt info PICTURE` shows it)",
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="with --from: take prompts as plain text, weights and networks in them too, which nothing here reads",
    )


def filled(args: argparse.Namespace, given: "Recalled", run: str) -> tuple[str, "Recalled"]:
    """The prompt, and the settings, of which those that were not given come from the picture of --from.

    Raises:
        InputError: there is no prompt, or the picture is one that cannot be made again.
        TextError: its text is not understood.
    """
    if args.picture is None and args.plain:
        raise InputError("--plain: does nothing without --from")
    settings = given if args.picture is None else _recalled(args, given, run)
    prompt = settings.pop("prompt", args.prompt)
    if prompt is None:
        raise InputError("expected a PROMPT, or --from PICTURE")
    return prompt, settings


def _recalled(args: argparse.Namespace, given: "Recalled", run: str) -> "Recalled":
    """Fill in what was not given from the text of the picture `args.picture`, and tell whose it is and what was taken.

    Raises:
        InputError: it carries none, or is one that cannot be made again.
        TextError: it is not understood.
    """
    from latentrt.painting.recall import NotHeeded, NotTold, recollect
    from latentrt.pictures.writers import read_text

    text = read_text(args.picture)
    if text is None:
        raise InputError(f"{args.picture}: carries no `parameters` text to make it again from")
    if args.prompt is not None:
        given["prompt"] = args.prompt
    asked = getattr(args, "hires", None)
    if asked == "off":
        given["hires"] = None
    count = given.pop("num_images", None)
    second = set(options.given(args, Hires)) | ({"size", "scale"} if asked is not None else set())
    try:
        settings, meant = recollect(text, given, plain=args.plain, second=second, run=run)
    except InputError as error:
        raise InputError(f"{args.picture}: {options.in_options(error)}") from None
    except TextError as error:
        raise TextError(f"{args.picture}: {error}") from None
    if not args.quiet:
        say(f"{args.picture}: {told(text, settings, meant)}")
    again = arguments.parts_given(args)
    names = [name for name in meant.unheeded if name not in again]
    if names:
        warnings.warn(NotHeeded(names), stacklevel=1)
    if meant.untold:
        warnings.warn(NotTold(meant.untold), stacklevel=1)
    _check_model(args, text.entries.get("Model"))
    if (several := settings.pop("num_images", None)) is not None:
        raise InputError(
            f"{args.picture}: was one of {several} pictures drawn from one seed, and cannot be made again alone; make "
            f"all again with --one-stream --seed {settings['seed']} --count {several}, or say another --seed"
        )
    settings["num_images"] = count
    return settings


def told(text: "PictureText", settings: Mapping[str, Any], meant: "Meaning") -> str:
    """Whose text it is, and what was taken of it, in a line."""
    first = {name: settings[name] for name in _FIRST if name in settings}
    if "width" in settings and "height" in settings:
        first["size"] = f"{settings['width']}x{settings['height']}"
    left = {
        name: value
        for name, value in settings.items()
        if name not in (*_FIRST, "prompt", "negative_prompt", "width", "height", "rng")
    }
    words = [f"{_words(name)} {_shown(value)}" for name, value in (first | left).items()]
    return f"as {text.made_by} says: {', '.join(words)}; noise {meant.noise}"


def _check_model(args: argparse.Namespace, made_by: str | None) -> None:
    from latentrt.models.locate import name_of

    if args.model is None and made_by not in (None, "demo"):
        raise InputError(
            f"{args.picture}: was made with the model {made_by!r}; say where that is with --model PATH"
        )
    named = None if args.model is None else (name_of(args.model), Path(args.model).resolve().name)
    if named is not None and made_by is not None and made_by not in named:
        warn(f"{args.picture} was made with the model {made_by!r}, and will look different with {args.model}")


_OF_EVERY_HIRES = ("scale", "size", "steps", "strength", "upscaler")


def _words(name: str) -> str:
    return "steps" if name == "num_inference_steps" else name.replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, Hires):
        size = f"{value.scale:g}x" if value.size is None else f"{value.size[0]}x{value.size[1]}"
        told = {
            name: one for name, one in vars(value).items() if one is not None and name not in _OF_EVERY_HIRES
        }
        apart = "".join(f", its {_words(name)} {_shown(one)}" for name, one in told.items())
        return f"{size} by {value.upscaler}, strength {value.strength:g}{apart}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={one}" for name, one in value.items())
    if isinstance(value, float):
        return number_text(value)
    return ",".join(map(_shown, value)) if isinstance(value, tuple | list) else str(value)
