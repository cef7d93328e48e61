"""Every kind of Stable Diffusion in small widths with random weights: diffusers' pipeline, and one file of its modules.

What no tensor tells holds in small, too: heads are 64 wide (8 of them in Stable Diffusion 1.x), groups 32, and
vocabularies CLIP's own. Parameters are float8 values times 2^-6, so that every type of checkpoint holds them exactly.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from checkpoints import randomize
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from single_files import Stored, stored_text, stored_unet, stored_vae
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from latentrt.models import published
from latentrt.text.vocabulary import clip_backend

SCALE = 2.0**-6
PAIR = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
XL_PAIR = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2), "use_linear_projection": True, "attention_head_dim": (1, 2),
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
}  # fmt: skip
SD1 = {**PAIR, "cross_attention_dim": 64, "attention_head_dim": 8}
SD2 = {**PAIR, "cross_attention_dim": 128, "attention_head_dim": (1, 2), "use_linear_projection": True}
# Whose text is wider than the level that attends to it alone, so that its shapes tell.
X4 = {
    "in_channels": 7, "num_class_embeds": 1000, "cross_attention_dim": 128, "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (64, 192), "only_cross_attention": (True, True), "use_linear_projection": True,
}  # fmt: skip
XL = {**XL_PAIR, "cross_attention_dim": 192, "projection_class_embeddings_input_dim": 128 + 6 * 256}
REFINER = {**XL_PAIR, "cross_attention_dim": 128, "projection_class_embeddings_input_dim": 128 + 5 * 256}


@dataclass(frozen=True)
class Tiny:
    """A kind: diffusers' pipeline, the UNet's config, the scheduler's, and the prefixes of its text encoders."""

    pipeline: str
    unet: dict[str, Any]
    scheduler: dict[str, Any]
    encoders: tuple[str, ...]
    scaling_factor: float = 0.18215


SD1_TEXT, SD2_TEXT = ("cond_stage_model.transformer.",), ("cond_stage_model.model.",)
REFINER_TEXT = ("conditioner.embedders.0.model.",)
XL_TEXT = ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.")
TINY = {
    "sd1": Tiny("StableDiffusionPipeline", SD1, published.SD1_SCHEDULER, SD1_TEXT),
    "sd2": Tiny("StableDiffusionPipeline", SD2, published.SD2_SCHEDULER, SD2_TEXT),
    "inpaint": Tiny("StableDiffusionInpaintPipeline", {**SD1, "in_channels": 9}, published.SD1_SCHEDULER, SD1_TEXT),
    "depth": Tiny("StableDiffusionDepth2ImgPipeline", {**SD2, "in_channels": 5}, published.SD2_SCHEDULER, SD2_TEXT),
    "x4": Tiny("StableDiffusionUpscalePipeline", X4, published.X4_SCHEDULER, SD2_TEXT, 0.08333),
    "lcm": Tiny(
        "LatentConsistencyModelPipeline", {**SD1, "time_cond_proj_dim": 256}, published.LCM_SCHEDULER, SD1_TEXT
    ),
    "sdxl": Tiny("StableDiffusionXLPipeline", XL, published.SDXL_SCHEDULER, XL_TEXT, 0.13025),
    "refiner": Tiny(
        "StableDiffusionXLImg2ImgPipeline", REFINER, published.SDXL_SCHEDULER, REFINER_TEXT, 0.13025
    ),
}  # fmt: skip


def quantized(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random, of values that every type holds."""
    randomize(module, seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter / SCALE).to(torch.float8_e4m3fn).float() * SCALE)
    return module


def make_text(prefix: str, seed: int) -> torch.nn.Module:
    """CLIP's kind 64 wide, OpenCLIP's 128."""
    torch.manual_seed(seed)
    theirs = prefix.endswith("model.")
    width = 128 if theirs else 64
    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=width // 64,
        hidden_act="gelu" if theirs else "quick_gelu", projection_dim=width, vocab_size=49408, bos_token_id=49406,
        eos_token_id=49407, pad_token_id=0 if theirs else 49407,
    )  # fmt: skip
    kind = CLIPTextModelWithProjection if prefix.startswith("conditioner") and theirs else CLIPTextModel
    return quantized(kind(config), seed)


def make_tokenizer(prefix: str) -> CLIPTokenizer:
    backend = clip_backend()
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    pad = "!" if prefix.endswith("model.") else "<|endoftext|>"
    return CLIPTokenizer(vocab=backend.get_vocab(), merges=merges, pad_token=pad, model_max_length=77)


def make_pipeline(name: str) -> DiffusionPipeline:
    """With the scheduler that its kind was published with."""
    kind = TINY[name]
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        **{"block_out_channels": (64, 128), "layers_per_block": 1, "sample_size": 16, **kind.unet}
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, sample_size=32, scaling_factor=kind.scaling_factor,
    )  # fmt: skip
    parts: dict[str, Any] = {"unet": quantized(unet, 1), "vae": quantized(vae, 2)}
    xl = "XL" in kind.pipeline
    for index, prefix in enumerate(kind.encoders):
        suffix = "_2" if xl and prefix.endswith("model.") else ""
        parts |= {
            f"text_encoder{suffix}": make_text(prefix, 3 + index),
            f"tokenizer{suffix}": make_tokenizer(prefix),
        }
    if xl:
        parts |= {"text_encoder": None, "tokenizer": None} if len(kind.encoders) == 1 else {}
        parts |= {"add_watermarker": False, "force_zeros_for_empty_prompt": name == "sdxl"}
    elif name == "x4":
        low_res = diffusers.DDPMScheduler.from_config(published.LOW_RES_SCHEDULER)
        parts |= {"low_res_scheduler": low_res, "max_noise_level": 350}
    elif name == "depth":
        parts |= {"depth_estimator": None, "feature_extractor": None}
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if name == "refiner":
        parts["requires_aesthetics_score"] = True
    scheduler = getattr(diffusers, kind.scheduler["_class_name"]).from_config(kind.scheduler)
    made = getattr(diffusers, kind.pipeline)(scheduler=scheduler, **parts)
    made.set_progress_bar_config(disable=True)
    return made


def tensors_of(name: str, pipeline: DiffusionPipeline) -> dict[str, torch.Tensor]:
    """All of its modules in the original's names."""
    made: dict[str, tuple[Stored, dict[str, np.ndarray]]] = {}

    def add(module, layout, *arguments):
        word = "text_model." if hasattr(module, "embeddings") else ""
        arrays = {f"{word}{key}": value.detach().numpy() for key, value in module.named_parameters()}
        shapes = {key: array.shape for key, array in arrays.items()}
        made.update({key: (tensor, arrays) for key, tensor in layout(shapes, *arguments).items()})

    add(pipeline.unet, stored_unet, 1)
    add(pipeline.vae, stored_vae)
    for prefix in TINY[name].encoders:
        suffix = "_2" if "XL" in TINY[name].pipeline and prefix.endswith("model.") else ""
        add(getattr(pipeline, f"text_encoder{suffix}"), stored_text, prefix)
    return {key: torch.tensor(tensor.of(arrays)).contiguous() for key, (tensor, arrays) in made.items()}


def write(path: Path, tensors: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> Path:
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, path)
    return path


def scaled(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices of the UNet and of text encoders in float8 with their scales, the latter with one for each row."""
    made = {"model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    for name, tensor in tensors.items():
        unet = name.startswith("model.diffusion_model.")
        matrix = tensor.ndim == 2 and name.endswith("weight") and "embed" not in name
        if not matrix or not (unet or name.startswith("cond")):
            made[name] = tensor.half()
            continue
        rows = torch.ones(()) if unet else 2.0 ** -(torch.arange(len(tensor)) % 2)
        scale = rows * SCALE
        made[name] = (tensor / scale.reshape(-1, *[1] * (scale.ndim))).to(torch.float8_e4m3fn)
        stem = name.removesuffix("weight")
        made[stem + ("scale_weight" if unet else "weight_scale")] = scale.float()
        if unet:
            made[stem + "scale_input"] = torch.ones(())
    return made
