"""`latentrt generate`: a prompt becomes pictures."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentrt.cli import arguments, paint
from latentrt.cli.console import warn
from latentrt.errors import InputError

if TYPE_CHECKING:
    from latentrt.painting.hires import Hires
    from latentrt.pictures.metadata import GenerationParameters

EXAMPLES = """\
examples:
  latentrt generate "a small yellow star above a large green ring"
  latentrt generate "a lighthouse at dusk" --model path/to/stable-diffusion-v1-5 --size 512x768 --steps 25 --seed 7
  latentrt generate "a fox" --negative "blurry" --sampler "DPM++ 2M Karras" --count 4 --out foxes/
  latentrt generate --from heart.png --steps 50 --out finer.png     the same picture again, in more steps
  latentrt generate "a castle" --model path/to/checkpoint --hires 2x --preview castle-preview.png
  latentrt generate "a fox" --json --quiet | jq -r .files[0]
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to paint")
    parser.add_argument(
        "--from",
        dest="picture",
        type=Path,
        metavar="PICTURE",
        help="take everything that is not given from the text that a picture made by latentrt or AUTOMATIC1111 carries",
    )
    group = parser.add_argument_group("larger than the model was made for (AUTOMATIC1111's hires fix)")
    group.add_argument(
        "--hires",
        type=_hires_size,
        metavar="2x|WxH|off",
        help="enlarge the picture of --size so many times, or to WxH, and paint over it; off leaves out that of --from",
    )
    group.add_argument(
        "--hires-steps",
        type=arguments.natural,
        metavar="N",
        help="steps of that second pass (default: --steps)",
    )
    group.add_argument(
        "--hires-strength",
        type=arguments.strength,
        metavar="F",
        help="how far it goes from the enlarged picture: more than 0, at most 1 (default: 0.7)",
    )
    group.add_argument(
        "--hires-upscaler",
        metavar="NAME",
        help="latent (default), latent-antialiased, latent-bicubic, latent-bicubic-antialiased, latent-nearest, "
        "latent-nearest-exact; or of the decoded picture, lanczos or nearest",
    )
    paint.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.picture is not None:
        recall(args)
    if args.prompt is None:
        raise InputError("expected a PROMPT, or --from PICTURE")
    hires = _hires(args)
    return paint.paint(
        args, lambda pipeline, settings: pipeline.start_txt2img(args.prompt, hires=hires, **settings)
    )


def _hires_size(text: str) -> Any:
    """`off`, or as `arguments.hires`."""
    return text if text == "off" else arguments.hires(text)


def _hires(args: argparse.Namespace) -> "Hires | None":
    given = {
        "steps": args.hires_steps,
        "strength": args.hires_strength,
        "upscaler": args.hires_upscaler,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if args.hires in (None, "off"):
        if given:
            raise InputError(f"--hires-{next(iter(given))}: does nothing without --hires")
        return None
    from latentrt.painting.hires import Hires
    from latentrt.painting.upscale import find_upscaler

    find_upscaler(given.get("upscaler", Hires.upscaler))  # refused before a model is loaded
    size = {"size": args.hires} if isinstance(args.hires, tuple) else {"scale": args.hires}
    return Hires(**size, **given)


def recall(args: argparse.Namespace) -> None:
    """Fill in what was not given from the metadata of the picture `args.picture`."""
    from latentrt.pictures.images import read_parameters
    from latentrt.pictures.metadata import parse_parameters
    from latentrt.samplers import CLASS_ENTRY, SCHEDULE_ENTRY

    text = read_parameters(args.picture)
    if text is None:
        raise InputError(f"{args.picture}: carries no `parameters` text to make it again from")
    p = parse_parameters(text)
    entries = dict(p.extra)
    if entries.get("Script", "").startswith("X/Y"):
        axes = ", ".join(entries[f"{name} Type"] for name in "XYZ" if f"{name} Type" in entries)
        raise InputError(
            f"{args.picture}: is a grid of pictures over {axes or 'several settings'}, and says how the first alone "
            "was made; take one of its pictures, which `latentrt sweep --keep FOLDER/` writes"
        )
    two_passes = "Hires upscaler" in entries
    if p.strength is not None and not two_passes:
        raise InputError(
            f"{args.picture}: was painted over another picture (img2img), which it does not hold"
        )
    extra = entries if p.version is not None and p.version.startswith("latentrt ") else {}
    if "Batch pos" in extra and args.seed is None:
        raise InputError(
            f"{args.picture}: was one of {extra.get('Batch size', 'several')} pictures drawn from one seed, and cannot "
            f"be made again alone; make all again with --one-stream --seed {p.seed} --count "
            f"{extra.get('Batch size', 'N')}, or say another --seed"
        )
    if args.model is None and p.model not in (None, "demo"):
        raise InputError(
            f"{args.picture}: was made with the model {p.model!r}; say where that is with --model PATH"
        )
    if args.model is not None and p.model not in (None, Path(args.model).resolve().name, args.model):
        warn(f"{args.picture} was made with the model {p.model!r}, and will look different with {args.model}")
    try:
        size = None if p.width is None or p.height is None else arguments.size(f"{p.width}x{p.height}")
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{args.picture}: its size: {error}") from None
    schedule = extra.get(SCHEDULE_ENTRY)
    automatic = p.schedule_type in (None, "Automatic") or p.sampler is None or schedule is not None
    label = p.sampler if automatic else f"{p.sampler} {p.schedule_type}"
    known: dict[str, Any] = {
        "prompt": p.prompt,
        "negative": p.negative_prompt,
        "size": size,
        "steps": p.steps,
        "guidance_scale": _numbers(extra.get("CFG schedule")) or p.guidance_scale,
        "guidance_rescale": _first(_numbers(extra.get("CFG rescale"))),
        "guidance_interval": _interval(_numbers(extra.get("CFG interval"))),
        "seed": None if p.seed is None else [p.seed],
        "rng": _rng(p),
        "sampler": extra.get(CLASS_ENTRY, label),
        "schedule": schedule if args.sampler is None else None,
        "eta": p.eta,
        "clip_skip": None if p.clip_skip is None else max(p.clip_skip - 1, 0),
    }
    hires = two_passes and args.hires != "off"
    if hires:
        known |= _recalled_hires(args.picture, entries, p)
    unheeded = _unheeded(entries, p, hires=hires)
    if unheeded:
        warn(f"{args.picture} will look different: not heeded here: {', '.join(unheeded)}")
    if args.seed in (None, [p.seed]):  # another seed is another picture, with no part of its noise
        known |= {"variation_seed": p.variation_seed, "variation_strength": p.variation_strength}
    for name, value in known.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _unheeded(entries: dict[str, str], p: "GenerationParameters", *, hires: bool) -> list[str]:
    """AUTOMATIC1111's entries that change a picture and that nothing here heeds; not those that change nothing."""
    same: dict[str, object] = {"ENSD": 0.0}
    if hires:  # where they are those of the first pass they change nothing
        same |= {
            "Hires CFG Scale": p.guidance_scale,
            "Hires sampler": p.sampler,
            "Hires schedule type": "Automatic" if p.schedule_type is None else p.schedule_type,
            "Hires prompt": p.prompt,
            "Hires negative prompt": p.negative_prompt,
        }
    return [
        name
        for name, value in same.items()
        if name in entries and value not in (entries[name], _first(_numbers(entries[name])))
    ]


def _recalled_hires(picture: Path, entries: dict[str, str], p: "GenerationParameters") -> dict[str, Any]:
    """The options of the second pass that a picture's text tells of."""
    size = entries.get("Hires resize") or f"{entries.get('Hires upscale', '')}x"
    try:
        hires = arguments.hires(size)
        # AUTOMATIC1111 leaves the entry out where the second pass has as many as the first.
        count = arguments.natural(entries["Hires steps"]) if "Hires steps" in entries else p.steps
    except argparse.ArgumentTypeError as error:
        raise InputError(f"{picture}: its second pass (hires): {error}") from None
    return {
        "hires": hires,
        "hires_steps": count,
        "hires_strength": p.strength,
        "hires_upscaler": entries["Hires upscaler"],
    }


def _rng(p: "GenerationParameters") -> str | None:
    """Who drew the noise: AUTOMATIC1111 and its kin on CUDA, if they say nothing else; latentrt on the CPU."""
    named = dict(p.extra).get("RNG", "").lower()
    foreign = p.version is not None and re.match("[vf][0-9]", p.version) is not None
    return "nv" if named == "nv" or (foreign and named != "cpu") else None


def _numbers(text: str | None) -> list[float] | None:
    """The numbers of an entry of ours; None where they make no sense."""
    try:
        return None if text is None else [arguments.finite(part) for part in text.split()]
    except argparse.ArgumentTypeError:
        return None


def _first(numbers: list[float] | None) -> float | None:
    return numbers[0] if numbers else None


def _interval(numbers: list[float] | None) -> tuple[float, float] | None:
    return (numbers[0], numbers[1]) if numbers is not None and len(numbers) == 2 else None
