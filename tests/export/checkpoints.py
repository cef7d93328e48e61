"""Small random pipelines with the architecture of Stable Diffusion 1.x, as diffusers folders on disk."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

VOCABULARY = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]


def randomize(module: torch.nn.Module, seed: int, spread: float = 0.02) -> torch.nn.Module:
    """Move every parameter off its initial value: norms at one and biases at zero would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def make_unet(seed: int = 0, **config: object) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    settings: dict[str, object] = {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "norm_num_groups": 16,
    }
    return randomize(UNet2DConditionModel(**{**settings, **config}), seed)


def make_vae(seed: int = 1, **config: object) -> AutoencoderKL:
    torch.manual_seed(seed)
    settings: dict[str, object] = {
        "block_out_channels": (16, 32, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "norm_num_groups": 8,
        "sample_size": 32,
    }
    return randomize(AutoencoderKL(**{**settings, **config}), seed)


def make_text_encoder(seed: int = 2, **config: object) -> CLIPTextModel:
    torch.manual_seed(seed)
    settings: dict[str, object] = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "bos_token_id": 7,
        "eos_token_id": 2,
        "pad_token_id": 8,
    }
    return randomize(CLIPTextModel(CLIPTextConfig(**{**settings, **config})), seed)


def save_pipeline(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    unet: UNet2DConditionModel | None = None,
    **kwargs: object,
) -> StableDiffusionPipeline:
    """Save a whole pipeline; `kwargs` go to `save_pretrained` (variant, max_shard_size, safe_serialization)."""
    tokenizer_folder = folder / "tokenizer"
    tokenizer_folder.mkdir(parents=True)
    (tokenizer_folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(VOCABULARY)}))
    (tokenizer_folder / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    pipeline = StableDiffusionPipeline(
        vae=make_vae(),
        text_encoder=make_text_encoder(),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizer_folder),
        unet=make_unet() if unet is None else unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype)
    pipeline.save_pretrained(folder, **kwargs)
    return pipeline
