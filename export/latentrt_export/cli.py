"""`latentrt export`: arguments, the call, the table."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from latentrt.cli import arguments
from latentrt.cli.console import progress_line
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.models.manifest import RELATIVE_BOUNDS, Manifest, Parity
from latentrt.models.replacing import make_replacements
from latentrt.models.single_file_writer import write_single_file
from latentrt_export.bundle.writer import STORED

EXAMPLES = """\
examples:
  latentrt export demo demo-bundle
  latentrt export path/to/checkpoint path/to/bundle
  latentrt export path/to/checkpoint path/to/bundle --dtype fp32
  latentrt export path/to/checkpoint path/to/bundle --int8
  latentrt export path/to/checkpoint path/to/bundle --overwrite --json
  latentrt export sdxl.safetensors path/to/bundle --vae sdxl-vae.safetensors
  latentrt export path/to/checkpoint model.safetensors --single-file

The checkpoint is a diffusers folder or a .safetensors file, of Stable Diffusion 1.x, 2.x or XL. Every network is
compared with torch; nothing is written if one differs by more than the bounds in the first table. The second says what
rounding the weights cost.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="demo, a diffusers folder, a .safetensors file, or org/name[@revision]"
    )
    parser.add_argument(
        "out",
        metavar="OUT",
        type=Path,
        help="the folder to write the bundle to; with --single-file a .safetensors file",
    )
    parser.add_argument(
        "--single-file",
        action="store_true",
        help="write the networks into one file, as AUTOMATIC1111 and ComfyUI read them, with the weights as they are",
    )
    parser.add_argument(
        "--dtype",
        choices=tuple(STORED),
        default="fp16",
        help="what weights are stored in: fp16 (default), rounded, at half the size; or fp32, which keeps checkpoints "
        "of fp32, bf16 and fp16 exactly",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="write UNet and VAE decoder in 8-bit integers besides, for ONNX Runtime on a CPU: model.int8.onnx",
    )
    arguments.add_parts(parser.add_argument_group("parts of the model"))
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a bundle")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.single_file:
        if args.int8:
            raise InputError("--int8 is of bundles; expected it without --single-file")
        return _write_single_file(args)
    from latentrt_export.bundle.export import Progress, export_model

    with progress_line(args.quiet) as show:

        def tell(progress: Progress) -> None:
            show(progress.message + ("" if progress.fraction is None else f" {progress.fraction:4.0%}"))

        given = make_replacements(**arguments.parts(args))
        manifest = export_model(args.model, args.out, args.overwrite, args.dtype, tell, given, args.int8)
    print(json.dumps(summary(manifest, args.out)) if args.json else table(manifest, args.out))
    return 0


def _write_single_file(args: argparse.Namespace) -> int:
    if args.out.suffix != ".safetensors":
        raise InputError(f"{args.out}: expected a name that ends in .safetensors, with --single-file")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"{args.out}: is there already; give --overwrite, or another name")
    model = open_model(args.model, make_replacements(**arguments.parts(args)))
    out = write_single_file(model, args.out, replaces=args.overwrite)
    size = out.stat().st_size
    print(json.dumps({"file": str(out), "bytes": size}) if args.json else f"{out}: {size / 1e6:.1f} MB")
    return 0


def summary(manifest: Manifest, out: Path) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "bundle": str(out),
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "bounds": dict(RELATIVE_BOUNDS),
        "components": {
            name: {
                "fp32_only": component.fp32_only,
                "reference": component.reference,
                "rounding": None if component.rounding is None else asdict(component.rounding),
                **{compute: vars(measured) for compute, measured in component.parity.items()},
            }
            for name, component in manifest.components.items()
        },
    }


def table(manifest: Manifest, out: Path) -> str:
    """The errors against torch, one line for each network and compute type, and what rounding the weights cost."""
    lines = [f"{'network':<14} {'compute':<8} {'max abs error':>13} {'relative':>10} {'bound':>10}  torch in"]
    for name, component in manifest.components.items():
        for compute, parity in component.parity.items():
            bound = RELATIVE_BOUNDS[compute]
            if parity.max_abs is None:
                errors = f"{'overflows: is computed in fp32':>35}"
            else:
                errors = f"{_errors(parity)} {bound:>10.0e}  {component.reference}"
            lines.append(f"{name:<14} {compute:<8} {errors}")
    lines += ["", f"{'rounding':<14} {'from':<8} {'to':<4} {'of weights':>20} {'of outputs':>24}"]
    for name, component in manifest.components.items():
        if (cost := component.rounding) is not None:
            what = f"{name:<14} {'/'.join(cost.read):<8} {cost.stored:<4}"
            if cost.weights.max_abs == 0:
                lines.append(f"{what} none: every weight is the checkpoint's")
            else:
                lines.append(f"{what} {_errors(cost.weights)} {_errors(cost.outputs)}")
    size = sum(entry.size for entry in manifest.files.values())
    lines += ["", f"{out}: {len(manifest.files)} files, {size / 1e6:.1f} MB"]
    return "\n".join(lines)


def _errors(parity: Parity) -> str:
    """The largest absolute and the relative error."""
    if parity.max_abs is None or parity.relative is None:
        return f"{'not finite':>24}"
    return f"{parity.max_abs:>13.2e} {parity.relative:>10.2e}"
