"""`latentrt bench latent-vs-pixel`: the paper's own experiment, its LDM-1 … LDM-32, on this machine."""

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from latentrt.claim import scratch
from latentrt.cli.arguments import natural, size
from latentrt.engine.providers import choose
from latentrt.errors import InputError
from latentrt.networks.cost.macs import Cost
from latentrt_bench.command import Tell, add_common, conduct
from latentrt_bench.latent_vs_pixel.derive import PARTS, derive, predict
from latentrt_bench.latent_vs_pixel.ldm import LDMS
from latentrt_bench.latent_vs_pixel.networks import network, network_cost
from latentrt_bench.latent_vs_pixel.quality import add_quality
from latentrt_bench.limits.ceilings import add_ceilings
from latentrt_bench.measuring.energy import EnergyMeter
from latentrt_bench.measuring.memory import worker_bytes
from latentrt_bench.measuring.process import Job
from latentrt_bench.measuring.rounds import Task, run_rounds
from latentrt_bench.random_weights import write_random_weights
from latentrt_bench.report import Measurement, Report, Row

EXAMPLES = """\
examples:
  latentrt bench latent-vs-pixel --quick
  latentrt bench latent-vs-pixel --report
  latentrt bench latent-vs-pixel --size 512x512 --batch-size 4 --model 1 --model 4 --device cuda

Random weights are drawn here; nothing is downloaded. --quick measures four of the six models at 256x256 and leaves out
the encoder, which painting does not need: on two cores less than 3 minutes, where all takes less than 40.
"""
SIZES = [(256, 256), (512, 512)]
QUICK_MODELS = [1, 4, 8, 32]
QUICK_SIZES = [(256, 256)]
ROUNDS, QUICK_ROUNDS = 3, 2
# The UNet that everybody knows, on latents, and as if pixels were its latents.
SD1 = "Stable Diffusion 1.5's UNet"
SD1_SIZE = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--size",
        type=size,
        action="append",
        metavar="WxH",
        help="of the pictures; may be repeated (256x256 and 512x512)",
    )
    parser.add_argument(
        "--batch-size",
        type=natural,
        action="append",
        metavar="N",
        help="pictures in a call; may be repeated (1)",
    )
    parser.add_argument(
        "--model",
        type=int,
        action="append",
        choices=LDMS,
        help="the f of an LDM-f; may be repeated (all; LDM-1, the pixels, is always among them)",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "openvino"), default="auto")
    parser.add_argument("--dtype", choices=("auto", "fp16", "bf16", "fp32"), default="auto")
    parser.add_argument(
        "--scratch",
        type=Path,
        metavar="FOLDER",
        help="where drawn weights lie while they are loaded, one network at a time: up to 1.8 GB (the system's)",
    )
    add_common(parser, ROUNDS)


def run(args: argparse.Namespace) -> int:
    """Run it."""
    provider = choose(args.device)
    dtype = provider.dtype if args.dtype == "auto" else args.dtype
    models = args.model if args.model is not None else QUICK_MODELS if args.quick else list(LDMS)
    settings = {
        "models": sorted({1, *models}),
        "sizes": list(dict.fromkeys(args.size or (QUICK_SIZES if args.quick else SIZES))),
        "batch_sizes": list(dict.fromkeys(args.batch_size or [1])),
        "provider": provider.name,
        "dtype": dtype,
        "rounds": args.rounds if args.rounds is not None else QUICK_ROUNDS if args.quick else ROUNDS,
        "quick": args.quick,
    }
    largest = max(settings["models"])
    for width, height in settings["sizes"]:
        LDMS[largest].latent_shape(width, height)  # refuses what is no multiple
    if args.scratch is not None and not args.scratch.is_dir():
        raise InputError(f"--scratch {args.scratch}: no such folder")

    def measure(report: Report, tell: Tell) -> None:
        add_ceilings(report, {(provider.name, dtype)}, tell)
        add_quality(report, tell)
        if settings["quick"]:
            left_out = ["the encoder", f"{SD1} (predicted)"]
            left_out += [] if args.size is not None else ["larger pictures"]
            left_out += [f"LDM-{f}" for f in LDMS if args.model is None and f not in settings["models"]]
            least = "; LDM-2 gains least of all" if "LDM-2" in left_out else ""
            report.warnings.append(f"--quick leaves out {', '.join(left_out)}{least}")
        with scratch(args.scratch or Path(tempfile.gettempdir()), "latentrt-bench") as folder:
            try:
                _measure(report, settings, folder, tell)
                add_ceilings(report, {(provider.name, dtype)}, tell)
            finally:
                predict(report)

    return conduct(args, "latent-vs-pixel", settings, measure, derive)


def _measure(report: Report, settings: dict[str, Any], scratch: Path, tell: Tell) -> None:
    """Every configuration, those of one size and batch in turns with each other; then what could not be run."""
    provider, dtype = settings["provider"], settings["dtype"]
    for batch in settings["batch_sizes"]:
        for width, height in settings["sizes"]:
            whats = [what for what in PARTS if what != "encode" or not settings["quick"]]
            rows = [_ldm_row(f, width, height, batch, provider, dtype, whats) for f in settings["models"]]
            tasks = [
                _task(row, what, f"ldm-{row.configuration['f']}-{PARTS[what]}", scratch)
                for what in whats
                for row in rows
                if what in row.measurements
            ]
            _run(report, rows, tasks, settings["rounds"], tell)
    latents, pixels = (
        _sd1_row("latents", SD1_SIZE // 8, provider, dtype),
        _sd1_row("pixels", SD1_SIZE, provider, dtype),
    )
    pixels.measurements["step"].status = "predicted"
    if settings["quick"]:
        latents.measurements["step"].status = "predicted"
        report.rows.append(latents)
    else:
        _run(report, [latents], [_task(latents, "step", "sd1-unet", scratch)], settings["rounds"], tell)
    report.rows.append(pixels)


def _run(report: Report, rows: list[Row], tasks: Sequence[Task], rounds: int, tell: Tell) -> None:
    report.rows += rows
    report.warnings += run_rounds(
        tasks, rounds, tell=tell, meter=EnergyMeter(gpu=report.settings["provider"] == "cuda")
    ).warnings


def _ldm_row(
    f: int, width: int, height: int, batch: int, provider: str, dtype: str, whats: Sequence[str]
) -> Row:
    ldm = LDMS[f]
    row = Row(
        name=f"LDM-{f} {width}x{height}" + ("" if batch == 1 else f" batch {batch}"),
        configuration={
            "model": f"LDM-{f}", "f": f, "width": width, "height": height, "batch": batch,
            "provider": provider, "dtype": dtype,
        },
        facts={"latent": list(ldm.latent_shape(width, height, batch)[1:])},
    )  # fmt: skip
    for what in whats:
        part = PARTS[what]
        if part in ldm.parts:
            counted = network_cost(f"ldm-{f}-{part}", dtype, width, height, batch, provider)
            row.measurements[what] = _to_measure(counted)
            row.facts["parameters" if part == "unet" else f"{part}_parameters"] = _parameters(
                f"ldm-{f}-{part}", dtype
            )
            row.facts[f"{part}_weight_bytes"] = counted.weight_bytes
            row.facts[f"{part}_activation_bytes"] = counted.peak_activation_bytes
    return row


def _sd1_row(on: str, side: int, provider: str, dtype: str) -> Row:
    counted = network_cost("sd1-unet", dtype, side, side, 1, provider)
    return Row(
        name=f"{SD1} on the {on} of {SD1_SIZE}x{SD1_SIZE}",
        configuration={
            "model": SD1, "on": on, "width": side, "height": side, "batch": 1,
            "provider": provider, "dtype": dtype,
        },
        measurements={"step": _to_measure(counted)},
        facts={
            "parameters": _parameters("sd1-unet", dtype),
            "unet_weight_bytes": counted.weight_bytes,
            "unet_activation_bytes": counted.peak_activation_bytes,
        },
    )  # fmt: skip


def _to_measure(counted: Cost) -> Measurement:
    return Measurement(macs=counted.macs, bytes_moved=counted.bytes_moved, bytes_least=counted.least_bytes)


def _parameters(name: str, dtype: str) -> int:
    """How many values a network's weights have; `name` as for `networks.network`."""
    import math

    graph, _ = network(name, dtype, 64, 64, 1)
    return sum(math.prod(parameter.shape) for parameter in graph.parameters)


def _task(row: Row, what: str, name: str, scratch: Path) -> Task:
    """The measurement's worker, whose weights lie on disk while it is loaded, and no longer."""
    where = row.configuration
    weights = scratch / f"{name}.safetensors"
    sizes = {key: where[key] for key in ("width", "height", "batch", "dtype")}
    part = PARTS[what]

    @contextlib.contextmanager
    def drawn() -> Iterator[None]:
        graph, _ = network(name, **sizes)
        needed, free = 2 * _parameters(name, where["dtype"]), shutil.disk_usage(scratch).free
        if needed > free:
            raise OSError(
                f"{scratch}: {needed / 1e9:.2g} GB for weights, {free / 1e9:.2g} GB free; see --scratch"
            )
        try:
            write_random_weights(graph, weights)
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps a mapped file; it goes with the folder
                weights.unlink(missing_ok=True)

    return Task(
        name=f"{row.name} {what}",
        job=Job(
            "latentrt_bench.latent_vs_pixel.networks:Network",
            {"name": name, "weights": str(weights), "device": where["provider"], **sizes},
        ),
        measurement=row.measurements[what],
        needs_bytes=worker_bytes(
            row.facts[f"{part}_weight_bytes"],
            row.facts[f"{part}_activation_bytes"],
            where["provider"],
        ),
        around_load=drawn,
    )
