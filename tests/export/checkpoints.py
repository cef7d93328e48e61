"""Small random pipelines with the architecture of Stable Diffusion 1.x, as diffusers folders on disk."""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from latentrt.text.vocabulary import write_clip

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


XL_UNET = {
    "sample_size": 16,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 1),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
}


def make_xl(
    refiner: bool = False, unet: dict[str, object] | None = None, **config: object
) -> StableDiffusionXLPipeline:
    """SDXL's networks in small: two text encoders of 32 and 48, a pooled text of 40; a refiner has the second alone."""
    pooled = 40
    second = randomize(
        CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=len(VOCABULARY), hidden_size=48, intermediate_size=80, num_hidden_layers=4,
                num_attention_heads=4, hidden_act="gelu", projection_dim=pooled, bos_token_id=7, eos_token_id=8,
                pad_token_id=2,
            )
        ),
        4,
    )  # fmt: skip
    settings = {
        **XL_UNET,
        "cross_attention_dim": 48 if refiner else 32 + 48,
        "projection_class_embeddings_input_dim": pooled + 8 * (5 if refiner else 6),
    }
    return StableDiffusionXLPipeline(
        vae=make_vae(scaling_factor=0.13025),
        text_encoder=None if refiner else make_text_encoder(eos_token_id=8),
        text_encoder_2=second,
        tokenizer=None if refiner else make_tokenizer("b</w>"),
        tokenizer_2=make_tokenizer("c</w>"),
        unet=make_unet(**{**settings, **(unet or {})}),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
        **config,
    )


def save_published(folder: Path, refiner: bool = False) -> StableDiffusionXLPipeline:
    """SDXL in small as one file can hold it, with what no tensor says as published: CLIP's words, 64 channels a head.

    The second text encoder is the wider one, by which diffusers tells them apart.
    """
    words = {
        "vocab_size": 49408, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 1,
        "num_hidden_layers": 2, "bos_token_id": 49406, "eos_token_id": 49407,
    }  # fmt: skip
    unet = {
        "block_out_channels": (64, 128), "cross_attention_dim": 128 if refiner else 64 + 128, "norm_num_groups": 32,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "attention_head_dim": (1, 2),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 128 + 256 * (5 if refiner else 6), "sample_size": 8,
    }  # fmt: skip
    vae = make_vae(
        block_out_channels=(32, 64), norm_num_groups=32, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.13025,
    )  # fmt: skip
    wider = {
        **words,
        "hidden_size": 128,
        "num_attention_heads": 2,
        "projection_dim": 128,
        "hidden_act": "gelu",
    }
    second = CLIPTextModelWithProjection(CLIPTextConfig(**wider))
    tokenizers = {}
    for name, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!")):
        (folder / name).mkdir(parents=True)
        write_clip(folder / name, pad, 77)
        tokenizers[name] = CLIPTokenizer.from_pretrained(folder / name)
    if refiner:
        tokenizers["tokenizer"] = None
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=None if refiner else make_text_encoder(**words),
        text_encoder_2=randomize(second, 4),
        unet=make_unet(**unet),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
        **tokenizers,
    )
    pipeline.save_pretrained(folder)
    return pipeline


def make_tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """Of `VOCABULARY`; rows are filled up with `pad`."""
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    return CLIPTokenizer(vocab=vocabulary, merges=[("a", "b</w>")], pad_token=pad, model_max_length=77)
