"""What every family of models was published with: the configurations of its networks, its scheduler, its index.

`FAMILIES` holds them at full size; `tiny` makes the same architecture in small widths.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from latentrt.models.published import (
    COSXL_SCHEDULER,
    LOW_RES_SCHEDULER,
    PLAYGROUND_SCHEDULER,
    SD1_SCHEDULER,
    SD1_TEXT_ENCODER,
    SD1_UNET,
    SD1_VAE,
    X4_SCHEDULER,
)

Config = dict[str, Any]
CROSS_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
PAD_END, PAD_FIRST = "<|endoftext|>", "!"  # what fills a prompt up: of CLIP, and of OpenCLIP

# Text encoders: CLIP ViT-L/14, OpenCLIP ViT-H/14 without its last layer, OpenCLIP ViT-bigG/14.
CLIP_L = SD1_TEXT_ENCODER
CLIP_H: Config = {
    **SD1_TEXT_ENCODER,
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "projection_dim": 512,
}
CLIP_G: Config = {
    **SD1_TEXT_ENCODER,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}

SD1_UNET_NOW: Config = {**SD1_UNET, "_diffusers_version": "0.30.0"}
SD2_UNET: Config = {
    **SD1_UNET_NOW,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "dual_cross_attention": False,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "use_linear_projection": True,
}
X4_UNET: Config = {
    **SD2_UNET,
    "attention_head_dim": 8,
    "block_out_channels": [256, 512, 512, 1024],
    "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN, CROSS_DOWN],
    "in_channels": 7,
    "num_class_embeds": 1000,
    "only_cross_attention": [True, True, True, False],
    "sample_size": 128,
    "up_block_types": [CROSS_UP, CROSS_UP, CROSS_UP, PLAIN_UP],
}
XL_UNET: Config = {
    **SD2_UNET,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN],
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": [CROSS_UP, CROSS_UP, PLAIN_UP],
}
REFINER_UNET: Config = {
    **XL_UNET,
    "attention_head_dim": [6, 12, 24, 24],
    "block_out_channels": [384, 768, 1536, 1536],
    "cross_attention_dim": 1280,
    "down_block_types": [PLAIN_DOWN, CROSS_DOWN, CROSS_DOWN, PLAIN_DOWN],
    "projection_class_embeddings_input_dim": 2560,
    "transformer_layers_per_block": 4,
    "up_block_types": [PLAIN_UP, CROSS_UP, CROSS_UP, PLAIN_UP],
}
BK_UNET: Config = {**SD1_UNET_NOW, "layers_per_block": 1}
BK_TINY_UNET: Config = {
    **BK_UNET,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": [CROSS_DOWN] * 3,
    "mid_block_type": None,
    "up_block_types": [CROSS_UP] * 3,
}
KOALA_UNET: Config = {**XL_UNET, "layers_per_block": 1}

SD_VAE: Config = {**SD1_VAE, "_diffusers_version": "0.30.0", "scaling_factor": 0.18215}
XL_VAE: Config = {**SD_VAE, "force_upcast": True, "sample_size": 1024, "scaling_factor": 0.13025}
X4_VAE: Config = {
    **SD_VAE,
    "block_out_channels": [128, 256, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "sample_size": 256,
    "scaling_factor": 0.08333,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}
PLAYGROUND_VAE: Config = {
    **XL_VAE,
    "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
    "latents_std": [8.4927, 5.9022, 6.5498, 5.2299],
    "scaling_factor": 0.5,
}

DDIM_V: Config = {
    **{key: SD1_SCHEDULER[key] for key in SD1_SCHEDULER if key != "skip_prk_steps"},
    "_class_name": "DDIMScheduler",
    "prediction_type": "v_prediction",
}
EULER: Config = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.30.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
TURBO: Config = {**EULER, "timestep_spacing": "trailing"}
ANCESTRAL: Config = {**TURBO, "_class_name": "EulerAncestralDiscreteScheduler"}
LCM: Config = {
    **EULER,
    "_class_name": "LCMScheduler",
    "original_inference_steps": 50,
    "set_alpha_to_one": True,
}
LCM = {key: LCM[key] for key in LCM if key not in ("interpolation_type", "use_karras_sigmas")}
PLAYGROUND: Config = PLAYGROUND_SCHEDULER
COSXL: Config = COSXL_SCHEDULER


@dataclass(frozen=True)
class Family:
    """A family.

    Attributes:
        pipeline: the class that its index names.
        unet: configuration.
        vae: configuration.
        scheduler: configuration.
        text_encoder: configuration of the first text encoder; None where there is none.
        text_encoder_2: of the second.
        index: what else `model_index.json` says.
        low_res_scheduler: of an upscaler, of the small picture.
    """

    pipeline: str
    unet: Config
    vae: Config
    scheduler: Config
    text_encoder: Config | None = None
    text_encoder_2: Config | None = None
    index: Config = field(default_factory=dict)
    low_res_scheduler: Config | None = None

    def tiny(self) -> "Family":
        """The same architecture in small widths, for pictures of 64x64; heads as wide as the published ones'.

        So a single file of it can be read, in which no tensor tells how many heads there are.
        """
        text, text_2 = (
            None if one is None else _tiny_text(one) for one in (self.text_encoder, self.text_encoder_2)
        )
        # Of the upscaler other widths than the text's: its shapes tell which levels attend to that alone.
        widths = [64, 64, 128, 128] if self.low_res_scheduler is None else [64, 96, 96, 128]
        unet: Config = {
            **self.unet,
            "block_out_channels": widths[: len(self.unet["block_out_channels"])],
            "cross_attention_dim": sum(one["hidden_size"] for one in (text, text_2) if one is not None),
            "sample_size": 8,
        }
        heads = unet["attention_head_dim"]
        unet["attention_head_dim"] = [1, 1, 2, 2][: len(heads)] if isinstance(heads, list) else heads
        if "transformer_layers_per_block" in unet:
            for key in ("transformer_layers_per_block", "reverse_transformer_layers_per_block"):
                if key in unet:
                    unet[key] = _shallower(unet[key])
        if text_2 is not None:
            sizes = (unet["projection_class_embeddings_input_dim"] - 1280) // 256
            added = text_2["projection_dim"] + sizes * 256
            unet |= {"projection_class_embeddings_input_dim": added}
        levels = len(self.vae["block_out_channels"])
        vae = {**self.vae, "block_out_channels": [32, 64, 96, 96][:levels], "sample_size": 64}
        return replace(self, unet=unet, vae=vae, text_encoder=text, text_encoder_2=text_2)


def _tiny_text(config: Config) -> Config:
    width = {768: 64, 1024: 64, 1280: 128}[config["hidden_size"]]
    layers = {12: 2, 23: 3, 32: 4}[config["num_hidden_layers"]]
    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
    return {**config, **shape, "num_hidden_layers": layers, "projection_dim": width}


def _shallower(depths: Any) -> Any:
    """At most three blocks of attention, and those of unequal depths still unequal."""
    if isinstance(depths, list):
        return [_shallower(depth) for depth in depths]
    return 1 if depths < 2 else 2 if depths < 10 else 3


SD1 = Family("StableDiffusionPipeline", SD1_UNET_NOW, SD_VAE, SD1_SCHEDULER, CLIP_L)
SD2_BASE = Family("StableDiffusionPipeline", SD2_UNET, SD_VAE, SD1_SCHEDULER, CLIP_H)
XL = Family(
    "StableDiffusionXLPipeline",
    XL_UNET,
    XL_VAE,
    EULER,
    CLIP_L,
    CLIP_G,
    {"force_zeros_for_empty_prompt": True},
)


def _with(
    family: Family, pipeline: str | None = None, scheduler: Config | None = None, **unet: Any
) -> Family:
    return replace(
        family,
        pipeline=pipeline or family.pipeline,
        scheduler=scheduler or family.scheduler,
        unet={**family.unet, **unet},
    )


FAMILIES: dict[str, Family] = {
    "sd15": SD1,
    "sd15-inpaint": _with(SD1, "StableDiffusionInpaintPipeline", in_channels=9),
    "ip2p": _with(SD1, "StableDiffusionInstructPix2PixPipeline", in_channels=8),
    "bk-base": replace(SD1, unet=BK_UNET),
    "bk-small": replace(SD1, unet={**BK_UNET, "mid_block_type": None}),
    "bk-tiny": replace(SD1, unet=BK_TINY_UNET),
    "lcm": _with(SD1, "LatentConsistencyModelPipeline", LCM, time_cond_proj_dim=256, sample_size=96),
    "sd21": _with(SD2_BASE, scheduler=DDIM_V, sample_size=96, upcast_attention=True),
    "sd21-base": SD2_BASE,
    "sd21-inpaint": _with(SD2_BASE, "StableDiffusionInpaintPipeline", in_channels=9),
    "sd2-depth": _with(SD2_BASE, "StableDiffusionDepth2ImgPipeline", in_channels=5),
    "x4-upscaler": replace(
        SD2_BASE,
        pipeline="StableDiffusionUpscalePipeline",
        unet=X4_UNET,
        vae=X4_VAE,
        scheduler=X4_SCHEDULER,
        index={"max_noise_level": 350},
        low_res_scheduler=LOW_RES_SCHEDULER,
    ),
    "sd-turbo": _with(SD2_BASE, scheduler=TURBO),
    "sdxl": XL,
    "sdxl-turbo": _with(XL, scheduler=ANCESTRAL, sample_size=64),
    "sdxl-inpaint": _with(XL, "StableDiffusionXLInpaintPipeline", in_channels=9),
    "sdxl-ip2p": _with(XL, "StableDiffusionXLInstructPix2PixPipeline", in_channels=8),
    "refiner": replace(
        XL,
        pipeline="StableDiffusionXLImg2ImgPipeline",
        unet=REFINER_UNET,
        text_encoder=None,
        index={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
    ),
    "ssd-1b": _with(
        XL,
        mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=[1, [2, 2], [4, 4]],
        reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1],
    ),
    "vega": _with(XL, mid_block_type="UNetMidBlock2D", transformer_layers_per_block=[1, 1, 2]),
    "koala-700m": replace(
        XL, unet={**KOALA_UNET, "mid_block_type": None, "transformer_layers_per_block": [1, 2, 5]}
    ),
    "koala-1b": replace(XL, unet={**KOALA_UNET, "transformer_layers_per_block": [1, 2, 6]}),
    "playground": replace(XL, vae=PLAYGROUND_VAE, scheduler=PLAYGROUND),
    "cosxl": _with(XL, scheduler=COSXL),
}
