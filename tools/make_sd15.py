"""Make a checkpoint of Stable Diffusion 1.5's size: the published configuration, random weights, a diffusers folder.

    python tools/make_sd15.py OUT [--bpe bpe_simple_vocab_16e6.txt.gz] [--dtype fp16|fp32] [--seed 0]

2.1 GB in fp16. It paints noise; it is for measuring load time, speed and memory at real size. With the vocabulary file
of OpenAI's CLIP its tokenizer is the real one; without, the folder has none.
"""

import argparse
import gzip
import json
import math
import sys
from pathlib import Path
from typing import Any

from latentrt_bench.random_weights import write_random_tensors
from latentrt_export.graphs import build_graph, parameter_shapes
from latentrt_export.published import SD1_SCHEDULER, SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
MERGES = 48894  # of the vocabulary file's lines that CLIP uses


def tokenizer(folder: Path, bpe: Path) -> None:
    """`vocab.json` and `merges.txt` from the vocabulary file of OpenAI's CLIP (MIT)."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
    with gzip.open(bpe, "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : MERGES + 1]
    words = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *(merge.replace(" ", "") for merge in merges),
    ]
    words += ["<|startoftext|>", "<|endoftext|>"]
    if len(words) != SD1_TEXT_ENCODER["vocab_size"]:
        raise SystemExit(f"{bpe}: gives {len(words)} tokens, expected {SD1_TEXT_ENCODER['vocab_size']}")
    write_json(folder / "vocab.json", {word: index for index, word in enumerate(words)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    start, end = words[-2:]
    special = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    write_json(folder / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    write_json(folder / "tokenizer_config.json", {**settings, **special, "add_prefix_space": False})


def write_json(path: Path, value: object) -> None:
    """One JSON file, its folder made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--bpe", type=Path, help="CLIP's bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    halves = [
        parameter_shapes(build_graph(f"vae_{half}", SD1_VAE, "fp16")) for half in ("encoder", "decoder")
    ]
    parts: list[tuple[str, dict[str, Any], str, dict[str, tuple[int, ...]]]] = [
        ("text_encoder", SD1_TEXT_ENCODER, "model",
         parameter_shapes(build_graph("text_encoder", SD1_TEXT_ENCODER, "fp16"))),
        ("unet", SD1_UNET, "diffusion_pytorch_model", parameter_shapes(build_graph("unet", SD1_UNET, "fp16"))),
        ("vae", SD1_VAE, "diffusion_pytorch_model", halves[0] | halves[1]),
    ]  # fmt: skip
    write_json(args.out / "model_index.json", MODEL_INDEX)
    write_json(args.out / "scheduler" / "scheduler_config.json", SD1_SCHEDULER)
    for index, (name, config, stem, shapes) in enumerate(parts):
        print(f"{name}: {sum(map(math.prod, shapes.values())) / 1e6:.1f} M parameters", flush=True)
        write_json(args.out / name / "config.json", config)
        write_random_tensors(shapes, args.out / name / f"{stem}.safetensors", args.seed + index, args.dtype)
    (args.out / "tokenizer").mkdir(exist_ok=True)
    if args.bpe is not None:
        tokenizer(args.out / "tokenizer", args.bpe)
    return 0


if __name__ == "__main__":
    sys.exit(main())
