"""A checkpoint of Stable Diffusion 1.5's size: its published configuration, random weights, a diffusers folder.

2.1 GB. What it paints is noise; speed and memory are those of the real one.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from latentrt.models.published import SD1_SCHEDULER, SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE
from latentrt.networks import build
from latentrt_bench.random_weights import write_random_tensors

VERSION = 2  # of what is written; grows when that changes
VOCABULARY: int = SD1_TEXT_ENCODER["vocab_size"]
START, END = "<|startoftext|>", "<|endoftext|>"

MODEL_INDEX: dict[str, Any] = {
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
# folder, configuration, weight file, the networks whose parameters it holds
COMPONENTS: tuple[tuple[str, dict[str, Any], str, tuple[str, ...]], ...] = (
    ("text_encoder", SD1_TEXT_ENCODER, "model.safetensors", ("text_encoder",)),
    ("unet", SD1_UNET, "diffusion_pytorch_model.safetensors", ("unet",)),
    (
        "vae",
        {**SD1_VAE, "scaling_factor": 0.18215},
        "diffusion_pytorch_model.safetensors",
        ("vae_encoder", "vae_decoder"),
    ),
)


def write_sd15(folder: Path, seed: int = 0) -> None:
    """Write the checkpoint, in fp16 and with a tokenizer of letters, into a folder that exists.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    write_networks(folder, seed)
    write_tokenizer(folder / "tokenizer")


def write_networks(
    folder: Path, seed: int = 0, dtype: str = "fp16", tell: Callable[[str], None] = lambda message: None
) -> None:
    """All of the checkpoint but its tokenizer.

    Args:
        folder: that of the checkpoint.
        seed: of the text encoder's weights; the UNet has the next, then the VAE.
        dtype: "fp16" or "fp32", what is stored.
        tell: is told the size of each network before it is written.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    _write_json(folder / "model_index.json", MODEL_INDEX)
    _write_json(folder / "scheduler" / "scheduler_config.json", SD1_SCHEDULER)
    for index, (name, config, weights, networks) in enumerate(COMPONENTS):
        _write_json(folder / name / "config.json", config)
        shapes = {
            parameter.name: parameter.shape
            for network in networks
            for parameter in build(network, config).parameters
        }
        tell(f"{name}: {sum(map(math.prod, shapes.values())) / 1e6:.1f} M parameters")
        write_random_tensors(shapes, folder / name / weights, seed + index, dtype)


def write_tokenizer(folder: Path, merges: Sequence[str] = (), pad: str = END) -> None:
    """CLIP's tokenizer with these merges, "i n" the first of CLIP's own. Words that they do not fill are unused.

    CLIP's vocabulary begins with its byte letters, each alone and each as a word's end, and ends with start and end of
    text. Without merges nothing between is ever used: prompts of single letters, of which "a b c" has three, become the
    ids that they are in CLIP's own vocabulary, which stable-diffusion.cpp has built in.

    Raises:
        ValueError: more merges than the vocabulary has room for.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = 256 - len(printable)  # bytes that are no printable letter are written as the letters from 256 on
    letters = [chr(code) for code in printable] + [chr(256 + index) for index in range(others)]
    words = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        *(merge.replace(" ", "") for merge in merges),
    ]
    unused = VOCABULARY - len(words) - 2
    if unused < 0:
        raise ValueError(f"{len(merges)} merges; expected at most {len(merges) + unused}")
    words += [f"unused{index}</w>" for index in range(unused)]
    _write_json(folder / "vocab.json", {word: index for index, word in enumerate([*words, START, END])})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": pad, "unk_token": END}
    _write_json(folder / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True}
    _write_json(folder / "tokenizer_config.json", {**settings, **special, "add_prefix_space": False})


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
