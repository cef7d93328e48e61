"""The model as a diffusers folder: configurations first, weights in float16 when they are trained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save
from torch import nn
from transformers import CLIPTextModel

from latentrt.errors import InputError
from latentrt.files import atomic_write, read_json

from .autoencoder import make_autoencoder
from .denoiser import SCHEDULER, make_denoiser
from .text import make_text_encoder
from .tokenizer import load_tokenizer, write_tokenizer

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
# What this project's runtime takes where a caller names nothing; guidance of 7.5 is too strong for flat colours.
GENERATION = {"num_inference_steps": 25, "guidance_scale": 2.0}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def check_folder(folder: Path) -> None:
    """Refuse a folder whose files are not those of an earlier training, which are replaced stage by stage.

    Raises:
        InputError: it holds something else, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder, or a name that is not taken")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    there = read_json(folder / "unet" / "config.json", optional=True)
    ours = _diffusers_config(make_denoiser())
    if any(there.get(key) != value for key, value in ours.items() if not key.startswith("_")):
        raise InputError(
            f"{folder}: is a folder with other files; expected a new or empty folder, or an earlier demo model"
        )


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def _diffusers_config(model: AutoencoderKL | UNet2DConditionModel) -> dict:
    config = json.loads(model.to_json_string())
    config.pop("_name_or_path", None)
    return config


def write_vae_config(folder: Path, scaling_factor: float) -> None:
    """The autoencoder's configuration, with the latents' measured scale."""
    config = _diffusers_config(make_autoencoder())
    _write_json(folder / "vae" / "config.json", config | {"scaling_factor": scaling_factor})


def write_configs(folder: Path) -> None:
    """Everything but the weights: tokenizer, scheduler and the configurations of untrained models."""
    # First, since it is what `check_folder` knows the folder by.
    _write_json(folder / "unet" / "config.json", _diffusers_config(make_denoiser()))
    write_tokenizer(folder / "tokenizer")
    _write_json(folder / "model_index.json", MODEL_INDEX)
    _write_json(folder / "generation_config.json", GENERATION)
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_vae_config(folder, 1.0)
    text = make_text_encoder(load_tokenizer(folder / "tokenizer")).config
    config = text.to_dict() | {"architectures": ["CLIPTextModel"], "torch_dtype": "float16"}
    for key in ("dtype", "transformers_version"):
        config.pop(key, None)
    _write_json(folder / "text_encoder" / "config.json", config)


def _write_weights(path: Path, model: nn.Module, prefix: str = "") -> None:
    weights = {
        name if name.startswith(prefix) else prefix + name: w.detach().cpu().to(torch.float16).contiguous()
        for name, w in model.state_dict().items()
        if w.is_floating_point()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(save(weights, metadata={"format": "pt"}))


def write_vae(folder: Path, model: AutoencoderKL) -> None:
    """The autoencoder's weights in float16."""
    _write_weights(folder / "vae" / WEIGHTS, model)


def write_unet(folder: Path, model: UNet2DConditionModel) -> None:
    """The denoiser's weights in float16."""
    _write_weights(folder / "unet" / WEIGHTS, model)


def write_text_encoder(folder: Path, model: CLIPTextModel) -> None:
    """The text encoder's weights in float16, under the names that Stable Diffusion checkpoints have."""
    _write_weights(folder / "text_encoder" / "model.safetensors", model, prefix="text_model.")
