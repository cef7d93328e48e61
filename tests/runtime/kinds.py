"""The kinds of Stable Diffusion as they were published: configs, sizes, and how single files name their text encoders.

Counts are those of published checkpoints, so that a config that builds another network is found out.
"""

from dataclasses import dataclass, field
from typing import Any

from latentrt.models import published

Config = dict[str, Any]

SD1 = {key: value for key, value in published.SD1_UNET.items() if not key.startswith("_diffusers")}
SD2 = {
    **SD1,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
XL = {
    **SD1,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
REFINER = {
    **XL,
    "attention_head_dim": [6, 12, 24, 24],
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "projection_class_embeddings_input_dim": 2560,
    "transformer_layers_per_block": 4,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
}
SSD_1B = {
    **XL,
    "mid_block_type": "UNetMidBlock2D",
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
    "transformer_layers_per_block": [1, [2, 2], [4, 4]],
}
X4 = {
    **SD2,
    "attention_head_dim": 8,
    "block_out_channels": [256, 512, 512, 1024],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 3],
    "in_channels": 7,
    "num_class_embeds": 1000,
    "only_cross_attention": [True, True, True, False],
    "sample_size": 128,
    "up_block_types": [*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
}
BK = {**SD1, "layers_per_block": 1}
BK_TINY = {
    **BK,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3,
    "mid_block_type": None,
    "up_block_types": ["CrossAttnUpBlock2D"] * 3,
}
NO_MIDDLE = {"mid_block_type": None}
VAE = {key: value for key, value in published.SD1_VAE.items() if not key.startswith("_diffusers")}
X4_VAE = {
    **VAE,
    "block_out_channels": [128, 256, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "sample_size": 256,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}

CLIP_L = published.SD1_TEXT_ENCODER
OPEN_CLIP_H = {
    **CLIP_L,
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
}
OPEN_CLIP_H_24 = {
    **OPEN_CLIP_H,
    "architectures": ["CLIPTextModelWithProjection"],
    "num_hidden_layers": 24,
    "projection_dim": 1024,
}
OPEN_CLIP_G = {
    **CLIP_L,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        called: what a single file of it is taken for.
        unet: config.
        parameters, tensors: of the UNet.
        encoders: by the prefix of a single file's names, the config of each text encoder.
        vae: config.
    """

    called: str
    unet: Config
    parameters: int
    tensors: int
    encoders: dict[str, Config] = field(default_factory=lambda: SD1_ENCODERS)
    vae: Config = field(default_factory=lambda: VAE)


SD1_ENCODERS = {"cond_stage_model.transformer.": CLIP_L}
SD2_ENCODERS = {"cond_stage_model.model.": OPEN_CLIP_H_24}
XL_ENCODERS = {"conditioner.embedders.0.transformer.": CLIP_L, "conditioner.embedders.1.model.": OPEN_CLIP_G}
REFINER_ENCODERS = {"conditioner.embedders.0.model.": OPEN_CLIP_G}

KINDS = {
    "sd1": Kind("Stable Diffusion 1.x", SD1, 859_520_964, 686),
    "sd1-inpaint": Kind("Stable Diffusion 1.x, inpainting", {**SD1, "in_channels": 9}, 859_535_364, 686),
    "ip2p": Kind("Stable Diffusion 1.x, InstructPix2Pix", {**SD1, "in_channels": 8}, 859_532_484, 686),
    "sd2": Kind("Stable Diffusion 2.x", SD2, 865_910_724, 686, SD2_ENCODERS),
    "sd2-inpaint": Kind(
        "Stable Diffusion 2.x, inpainting", {**SD2, "in_channels": 9}, 865_925_124, 686, SD2_ENCODERS
    ),
    "sd2-depth": Kind(
        "Stable Diffusion 2.x, depth", {**SD2, "in_channels": 5}, 865_913_604, 686, SD2_ENCODERS
    ),
    "x4": Kind("Stable Diffusion x4 upscaler", X4, 473_398_020, 687, SD2_ENCODERS, X4_VAE),
    "sdxl": Kind("SDXL", XL, 2_567_463_684, 1680, XL_ENCODERS),
    "sdxl-inpaint": Kind("SDXL, inpainting", {**XL, "in_channels": 9}, 2_567_478_084, 1680, XL_ENCODERS),
    "refiner": Kind("SDXL refiner", REFINER, 2_259_526_660, 1220, REFINER_ENCODERS),
    "ssd-1b": Kind("SSD-1B", SSD_1B, 1_331_334_404, 944, XL_ENCODERS),
    "vega": Kind(
        "Segmind-Vega",
        {**XL, "mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [1, 1, 2]},
        745_225_604,
        564,
        XL_ENCODERS,
    ),
    "koala-700m": Kind(
        "KOALA-700M",
        {**XL, **NO_MIDDLE, "layers_per_block": 1, "transformer_layers_per_block": [1, 2, 5]},
        782_822_724,
        584,
        XL_ENCODERS,
    ),
    "koala-1b": Kind(
        "KOALA-1B",
        {**XL, "layers_per_block": 1, "transformer_layers_per_block": [1, 2, 6]},
        1_161_184_324,
        790,
        XL_ENCODERS,
    ),
    "bk-base": Kind("BK-SDM-Base", BK, 579_384_964, 442),
    "bk-small": Kind("BK-SDM-Small", {**BK, **NO_MIDDLE}, 482_346_884, 396),
    "bk-tiny": Kind("BK-SDM-Tiny", BK_TINY, 323_384_964, 358),
    "lcm": Kind(
        "Stable Diffusion 1.x, latent consistency", {**SD1, "time_cond_proj_dim": 256}, 859_602_884, 687
    ),
}
