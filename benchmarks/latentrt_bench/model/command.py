"""`latentrt bench model`: where the user's model spends its time, and how near that is to the machine's limits."""

import argparse
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentrt.checks import DTYPES
from latentrt.cli import arguments
from latentrt.engine.providers import choose
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.models.replacing import make_replacements
from latentrt.painting.advice import DEFAULT_GUIDANCE_SCALE, DEFAULT_STEPS
from latentrt_bench.command import Tell, add_common, conduct
from latentrt_bench.compare import as_data, compare
from latentrt_bench.model.cases import make_case, measure_cases
from latentrt_bench.model.configuration import Configuration
from latentrt_bench.model.derive import derive
from latentrt_bench.report import Report, read_report

EXAMPLES = """\
examples:
  latentrt bench model demo --quick
  latentrt bench model path/to/checkpoint --report
  latentrt bench model sdxl.safetensors --size 1024x1024 --vae sdxl-vae-fp16-fix.safetensors
  latentrt bench model path/to/checkpoint --size 512x512 --size 768x768 --batch-size 1 --batch-size 4 --device cuda
  latentrt bench model path/to/checkpoint --compare before.json

With --quick, loading is measured once, and pictures that would take more than half a minute are predicted from their
stages.
"""
ROUNDS = 3  # below that, two runs cannot be compared
QUICK_PICTURE_S = 30.0  # with --quick, a picture that would take longer is predicted from its stages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="demo, a .safetensors file, a diffusers folder, a bundle, or org/name[@revision]",
    )
    arguments.add_parts(parser.add_argument_group("parts of the model"))
    group = parser.add_argument_group("what to run; what may be repeated is measured in every combination")
    group.add_argument(
        "--size",
        type=_size,
        action="append",
        metavar="WxH|N",
        help="of the pictures, in pixels; may be repeated (the model's)",
    )
    group.add_argument(
        "--batch-size",
        type=arguments.natural,
        action="append",
        metavar="N",
        help="pictures at a time; may be repeated (1)",
    )
    group.add_argument(
        "--sampler",
        action="append",
        metavar="NAME",
        help="as `latentrt samplers` lists them; may be repeated (the model's)",
    )
    group.add_argument(
        "--device",
        action="append",
        choices=("auto", "cpu", "cuda", "openvino"),
        help="what to run on; may be repeated (auto)",
    )
    group.add_argument(
        "--dtype",
        action="append",
        choices=DTYPES,
        help="what to compute in; may be repeated (what suits the device)",
    )
    group.add_argument("--steps", type=arguments.natural, metavar="N", help="of a picture (the model's)")
    group.add_argument(
        "--guidance-scale", type=arguments.finite, metavar="G", help="of a picture; 1 is none (the model's)"
    )
    arguments.add_tile(group)  # type: ignore[arg-type]  # a group adds arguments as a parser does
    group.add_argument(
        "--low-memory", action="store_true", help="as for `latentrt generate`: networks are freed after use"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="A.json",
        help="an earlier report of this benchmark: say which differences are more than noise",
    )
    add_common(parser, ROUNDS)


def _size(text: str) -> tuple[int, int]:
    """`WxH`, or `N` for both sides."""
    return arguments.size(text if not text.isdecimal() else f"{text}x{text}")


def refuse_unmeasured(model: Model) -> None:
    """Refuse models whose work cannot be counted.

    Raises:
        InputError: it is one.
    """
    if model.layout is not None:
        raise InputError(
            f"{model.name}: is ONNX as somebody exported it, whose work is not counted; expected the checkpoint that "
            "it was made from, or a bundle of `latentrt export`"
        )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    before = None if args.compare is None else read_report(args.compare)
    if before is not None and before.benchmark != "model":
        raise InputError(
            f"--compare {args.compare}: expected a report of `bench model`, got one of {before.benchmark}"
        )
    parts = arguments.parts(args)
    model = open_model(args.model, make_replacements(**parts))
    refuse_unmeasured(model)
    settings = _settings(args, model) | {"parts": parts}
    cases = [make_case(c, settings["samplers"]) for c in _configurations(settings)]
    settings["samplers"] = list(cases[0].samplers)

    def measure(report: Report, tell: Tell) -> None:
        quick = settings["quick"]
        longest = QUICK_PICTURE_S if quick else math.inf
        measure_cases(report, cases, settings["rounds"], 1 if quick else settings["rounds"], longest, tell)

    def derived(report: Report) -> dict[str, Any]:
        if before is None:
            return derive(report)
        return derive(report) | {"compared": as_data(compare(before, report))}

    return conduct(args, "model", settings, measure, derived)


def _settings(args: argparse.Namespace, model: Model) -> dict[str, Any]:
    """What is asked, with what the model's files say where nothing is.

    Raises:
        InputError: a value is out of range.
        ModelError: the model's files name no size to go by.
        ProviderError: a device cannot be had here.
    """
    rounds = ROUNDS if args.rounds is None else args.rounds
    sizes = args.size
    if sizes is None:
        sizes = [(model.default_side("width"), model.default_side("height"))]
    steps, scale = args.steps, args.guidance_scale
    if steps is None:
        steps = model.defaults.get("num_inference_steps", DEFAULT_STEPS)
    if scale is None:
        scale = model.defaults.get("guidance_scale", DEFAULT_GUIDANCE_SCALE)
    providers = [choose(device) for device in _distinct(args.device, "auto")]
    runs = [
        (provider.name, provider.dtype if dtype == "auto" else dtype)
        for provider in providers
        for dtype in _distinct(args.dtype, "auto")
    ]
    return {
        "model": args.model,
        "sizes": [list(size) for size in dict.fromkeys(sizes)],
        "batch_sizes": _distinct(args.batch_size, 1),
        "samplers": _distinct(args.sampler, None),
        "runs": [list(one) for one in dict.fromkeys(runs)],
        "steps": steps,
        "guidance_scale": float(scale),
        "tile": args.tile,
        "low_memory": args.low_memory,
        "rounds": rounds,
        "quick": args.quick,
    }


def _distinct(given: Sequence[Any] | None, default: Any) -> list[Any]:
    return list(dict.fromkeys([default] if given is None else given))


def _configurations(settings: Mapping[str, Any]) -> list[Configuration]:
    return [
        Configuration(
            model=settings["model"],
            width=width,
            height=height,
            batch=batch,
            device=device,
            dtype=dtype,
            steps=settings["steps"],
            guidance_scale=settings["guidance_scale"],
            tile=settings["tile"],
            low_memory=settings["low_memory"],
            parts=settings["parts"],
        )
        for (device, dtype), (width, height), batch in itertools.product(
            settings["runs"], settings["sizes"], settings["batch_sizes"]
        )
    ]
