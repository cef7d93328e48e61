"""`latentrt bench peers`: latentrt beside other runtimes, each in an environment of its own."""

import argparse
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from latentrt.claim import scratch
from latentrt.cli import arguments
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.painting.advice import DEFAULT_GUIDANCE_SCALE
from latentrt_bench.command import Tell, add_common, conduct
from latentrt_bench.peers.catalogue import PEERS, Peer
from latentrt_bench.peers.materials import SD15, alone_in, default_folder, model_source
from latentrt_bench.peers.race import Catalogue, prepare, race
from latentrt_bench.report import Report

EXAMPLES = """\
examples:
  latentrt bench peers --model demo
  latentrt bench peers --report
  latentrt bench peers --model path/to/checkpoint --size 512x512 --steps 10
  latentrt bench peers --peer latentrt --peer diffusers-fp32 --rounds 5
"""
ROUNDS, QUICK_ROUNDS = 3, 2
STEPS, SEED, PICTURES = 4, 7, 1
LIMIT_S = 600.0
SIZE = 256  # of SD 1.5's: what a small machine paints in minutes with every peer
LAST_TIMESTEP = 999
PROMPTS = {"demo": "a large red heart on a blue background", SD15: "a b c d"}
PROMPT = "a lighthouse at dusk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--model",
        metavar="sd15|demo|PATH",
        help="random weights of Stable Diffusion 1.5's size, 2.1 GB, made when first asked for; the included demo "
        "model; a diffusers folder, or a .safetensors file, of Stable Diffusion 1.x, 2.x or XL (sd15; demo with "
        "--quick)",
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=PEERS,
        metavar="NAME",
        help=f"one of: {', '.join(PEERS)}; may be repeated (all that paint in --steps)",
    )
    parser.add_argument(
        "--size", type=arguments.size, metavar="WxH", help=f"of the picture ({SIZE}x{SIZE}; demo: its own)"
    )
    parser.add_argument(
        "--steps", type=arguments.natural, default=STEPS, metavar="N", help=f"of a picture ({STEPS})"
    )
    parser.add_argument("--prompt", help="what to paint")
    parser.add_argument(
        "--pictures",
        type=arguments.natural,
        default=PICTURES,
        metavar="N",
        help=f"in each round, behind the first that each process paints ({PICTURES})",
    )
    parser.add_argument(
        "--limit",
        type=_seconds,
        default=LIMIT_S,
        metavar="S",
        help=f"seconds after which loading or a picture is given up, and after which in all a peer has no more rounds "
        f"({LIMIT_S:.0f})",
    )
    parser.add_argument(
        "--envs",
        type=Path,
        metavar="DIR",
        help=f"where environments, exports and the random model are kept, and used again ({default_folder()})",
    )
    add_common(parser, ROUNDS)


def _seconds(text: str) -> float:
    """More than 0."""
    value = arguments.finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return value


def run(args: argparse.Namespace, catalogue: Catalogue | None = None) -> int:
    """Run it; another catalogue is for tests."""
    folder = (args.envs or default_folder()).resolve()
    name = args.model if args.model is not None else "demo" if args.quick else SD15
    # Fails here, before anything is made, where there is no such model.
    model = None if name == SD15 else open_model(name)
    if model is not None:
        refuse_unraced(model)
    names = chosen(args.peer, (catalogue or Catalogue()).peers, args.steps)
    settings = _settings(args, name, model) | {"peers": names}

    def measure(report: Report, tell: Tell) -> None:
        with alone_in(folder), scratch(Path(tempfile.gettempdir()), "latentrt-peers") as work_folder:
            source = model_source(name, folder, tell)
            work = settings | _latents(open_model(source)) | {"cores": _cores()}
            if LAST_TIMESTEP % max(settings["steps"] - 1, 1):
                report.warnings.append(
                    f"{settings['steps']} steps lie at timesteps that are no whole numbers, which each peer rounds in "
                    "its way: pictures differ by that too; those of 4, 10 and 28 steps do not"
                )
            racers = prepare(
                report, names, source, folder, work_folder, work, args.limit, tell, catalogue or Catalogue()
            )
            race(racers, settings["rounds"], settings["pictures"], args.limit, tell)

    return conduct(args, "peers", settings, measure, derive)


def chosen(asked: list[str] | None, peers: Mapping[str, Peer], steps: int) -> list[str]:
    """Who is measured: those asked for, or all that paint in so few steps. The first is what others are held against.

    Raises:
        InputError: one that is asked for does not.
    """
    for name in asked or []:
        if peers[name].least_steps > steps:
            raise InputError(f"--steps: {name} takes {peers[name].least_steps} or more, got {steps}")
    return [name for name in peers if (name in asked if asked else peers[name].least_steps <= steps)]


def refuse_unraced(model: Model) -> None:
    """Refuse models that not every peer can be asked for the same picture of.

    Raises:
        InputError: it is one; says why.
    """
    reason = None
    if model.layout is not None:
        reason = "is ONNX as somebody exported it, which the other peers do not read"
    elif model.num_time_ids == 5:
        reason = (
            "is a refiner, which paints over pictures, and the peers are asked to paint from a prompt alone"
        )
    elif model.purpose != "paint":
        reason = "takes a picture beside the prompt, and the peers are asked to paint from a prompt alone"
    elif model.guidance_width:
        reason = "is a latent consistency model: between its steps noise is drawn, which each peer does in its own way"
    elif str(model.scheduler_config.get("_class_name")).startswith("EDM"):
        reason = "has noise levels of EDM's kind, which not every peer has, and all are to take the same"
    if reason is not None:
        raise InputError(
            f"{model.name}: {reason}; expected a text-to-image model of Stable Diffusion 1.x, 2.x or XL"
        )


def derive(report: Report) -> dict[str, Any]:
    """Who the others are held against (the first that painted), and each one's times over its."""
    painted = [row for row in report.rows if row.measurements.get("picture") and row.facts.get("picture")]
    if not painted:
        return {}
    first, rows = painted[0], []
    for row in report.rows:
        entry: dict[str, Any] = {"name": row.name}
        for what in ("first_picture", "picture", "step"):
            ours, theirs = row.measurements.get(what), first.measurements.get(what)
            if ours and theirs and ours.seconds and theirs.seconds:
                entry[f"{what}_ratio"] = ours.seconds / theirs.seconds
        rows.append(entry)
    return {"against": first.name, "rows": rows}


def _settings(args: argparse.Namespace, name: str, model: Model | None) -> dict[str, Any]:
    """What is asked, and where nothing is, what the model's files say.

    Raises:
        InputError: a value is out of range, or the model is a bundle.
    """
    rounds = args.rounds if args.rounds is not None else QUICK_ROUNDS if args.quick else ROUNDS
    if model is not None and model.manifest is not None:
        raise InputError(
            f"--model {name}: a bundle; expected the checkpoint that it was made from, which all peers start from"
        )
    size = args.size
    if size is None:
        size = (SIZE, SIZE) if model is None else model.default_size
    factor = 8 if model is None else model.vae_scale_factor
    if size[0] % factor or size[1] % factor:
        raise InputError(f"--size: expected multiples of {factor}, got {size[0]}x{size[1]}")
    defaults = {} if model is None else model.defaults
    return {
        "model": name,
        "width": size[0],
        "height": size[1],
        "steps": args.steps,
        "guidance": defaults.get("guidance_scale", DEFAULT_GUIDANCE_SCALE),
        "prompt": args.prompt if args.prompt is not None else PROMPTS.get(name, PROMPT),
        "seed": SEED,
        "rounds": rounds,
        "pictures": args.pictures,
        "limit_s": args.limit,
        "device": "cpu",
    }


def _cores() -> int:
    """The physical ones that this process may use: as many threads as torch, ONNX Runtime and OpenVINO take."""
    usable = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else math.inf
    return int(min(psutil.cpu_count(logical=False) or psutil.cpu_count() or 1, usable))


def _latents(model: Model) -> dict[str, Any]:
    """What the peers have to know of the model."""
    return {
        "xl": model.is_xl,
        "prediction": model.scheduler_config.get("prediction_type", "epsilon"),
        "latent_channels": model.latent_channels,
        "factor": model.vae_scale_factor,
    }
