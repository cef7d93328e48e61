"""Make a checkpoint of a family's published configuration with random weights: diffusers' folder, or one file.

    python tools/make_random.py FAMILY OUT [--single-file] [--tiny] [--dtype fp16|fp32] [--seed 0]

It paints noise; it is for measuring load time, speed and memory at real size, and with --tiny for trying every family
in seconds. Each tensor is drawn by its name, so that the same name and shape hold the same values in whatever file.
Its tokenizers are CLIP's.
"""

import argparse
import gzip
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from families import FAMILIES, PAD_END, PAD_FIRST, Config, Family

from latentrt.models.bundle import open_model
from latentrt.models.single_file_writer import write_single_file
from latentrt.networks import build
from latentrt_bench.peers.sd15 import write_tokenizer
from latentrt_bench.random_weights import write_random_tensors


def clip_merges() -> list[str]:
    """CLIP's merges, which latentrt brings."""
    with resources.files("latentrt").joinpath("text", "clip", "merges.txt.gz").open("rb") as packed:
        return gzip.decompress(packed.read()).decode("utf-8").splitlines()


def networks(family: Family) -> Iterator[tuple[str, Config, str, dict[str, tuple[int, ...]]]]:
    """Of each folder with weights: its name, its configuration, its weight file, and the shapes of its tensors."""
    parts = {"text_encoder": family.text_encoder, "text_encoder_2": family.text_encoder_2}
    for name, config in [*parts.items(), ("unet", family.unet), ("vae", family.vae)]:
        if config is None:
            continue
        of = {"text_encoder_2": ("text_encoder",), "vae": ("vae_encoder", "vae_decoder")}.get(name, (name,))
        shapes = {one.name: one.shape for network in of for one in build(network, config).parameters}
        stem = "model" if name in parts else "diffusion_pytorch_model"
        yield name, config, f"{stem}.safetensors", shapes


def index(family: Family) -> dict[str, Any]:
    """`model_index.json`."""
    made: dict[str, Any] = {"_class_name": family.pipeline, "_diffusers_version": "0.30.0", **family.index}
    made["scheduler"] = ["diffusers", family.scheduler["_class_name"]]
    made |= {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    if family.low_res_scheduler is not None:
        made["low_res_scheduler"] = ["diffusers", family.low_res_scheduler["_class_name"]]
    xl = family.text_encoder_2 is not None
    for suffix, config in (("", family.text_encoder), ("_2", family.text_encoder_2)):
        if config is not None:
            made[f"text_encoder{suffix}"] = ["transformers", config["architectures"][0]]
            made[f"tokenizer{suffix}"] = ["transformers", "CLIPTokenizer"]
        elif xl:
            made |= {f"text_encoder{suffix}": [None, None], f"tokenizer{suffix}": [None, None]}
    if not xl:
        made |= {
            "feature_extractor": [None, None],
            "safety_checker": [None, None],
            "requires_safety_checker": False,
        }
    return made


def write_folder(family: Family, out: Path, seed: int, dtype: str, merges: list[str]) -> None:
    """Write the checkpoint; memory for one chunk of values is all that this takes."""
    write_json(out / "model_index.json", index(family))
    write_json(out / "scheduler" / "scheduler_config.json", family.scheduler)
    if family.low_res_scheduler is not None:
        write_json(out / "low_res_scheduler" / "scheduler_config.json", family.low_res_scheduler)
    for name, config, file, shapes in networks(family):
        print(
            f"{name}: {len(shapes)} tensors, {sum(map(math.prod, shapes.values())):,} parameters", flush=True
        )
        write_json(out / name / "config.json", config)
        write_random_tensors(shapes, out / name / file, seed, dtype)
        if name.startswith("text_encoder"):
            tokenizer = out / name.replace("text_encoder", "tokenizer")
            write_tokenizer(tokenizer, merges, PAD_END if config["hidden_act"] == "quick_gelu" else PAD_FIRST)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", choices=FAMILIES, metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", action="store_true", help="the same architecture in small widths")
    parser.add_argument(
        "--single-file", action="store_true", help="one .safetensors file, in the names of the original code"
    )
    parser.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.out.exists() and (args.single_file or not args.out.is_dir() or any(args.out.iterdir())):
        raise SystemExit(f"{args.out}: is there already; expected a new name")
    family = FAMILIES[args.family]
    family = family.tiny() if args.tiny else family
    if not args.single_file:
        write_folder(family, args.out, args.seed, args.dtype, clip_merges())
        return 0
    with tempfile.TemporaryDirectory(dir=args.out.absolute().parent) as folder:
        write_folder(family, Path(folder), args.seed, args.dtype, clip_merges())
        write_single_file(replace(open_model(folder), name=args.family), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
