"""The families of Stable Diffusion: known by the shapes of a UNet, with what their makers published beside it.

A single file carries no scheduler config, no scaling of its autoencoder and no advice; its family has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from latentrt.errors import ModelError
from latentrt.models import published
from latentrt.models.derive import TIME_WIDTH
from latentrt.models.repairs import UPSCALER_SCALING

_END, _SIGN = "<|endoftext|>", "!"
# Layers of Stable Diffusion 2.x's text encoder that are used; files have one more, or one that was made up.
_SD2_LAYERS = 23


@dataclass(frozen=True)
class Family:
    """What was published with the models of one kind.

    Attributes:
        name: as people call it.
        pipeline: diffusers' class for it.
        scheduler: its scheduler config.
        vae: what its autoencoder's config says beside the architecture.
        sample_size: latents of a side.
        defaults: advice for a run, as a `generation_config.json` gives it.
        pad_tokens: by text encoder that it has: what fills up a row. OpenAI's were trained with the end of the text,
            OpenCLIP's with token 0.
        upcast: its attention overflows in fp16.
        text_layers: of its text encoder that are used, where files have more; None: all.
        low_res: the scheduler config of the small picture that an upscaler is shown; empty of others.
        index: what else `model_index.json` says.
    """

    name: str
    pipeline: str
    scheduler: Mapping[str, Any]
    vae: Mapping[str, Any]
    sample_size: int
    defaults: Mapping[str, Any]
    pad_tokens: Mapping[str, str] = field(default_factory=lambda: {"text_encoder": _END})
    upcast: bool = False
    text_layers: int | None = None
    low_res: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """Those that it has, in the order in which what they say is joined."""
        return tuple(self.pad_tokens)


SD1 = Family(
    "Stable Diffusion 1.x",
    "StableDiffusionPipeline",
    published.SD1_SCHEDULER,
    {"scaling_factor": 0.18215},
    64,
    {"guidance_scale": 7.5},
)
SD2 = Family(
    "Stable Diffusion 2.x",
    "StableDiffusionPipeline",
    published.SD2_SCHEDULER,
    {"scaling_factor": 0.18215},
    64,
    {"guidance_scale": 7.5},
    {"text_encoder": _SIGN},
    upcast=True,
    text_layers=_SD2_LAYERS,
)
X4 = Family(
    "Stable Diffusion x4 upscaler",
    "StableDiffusionUpscalePipeline",
    published.X4_SCHEDULER,
    {"scaling_factor": UPSCALER_SCALING, "force_upcast": True},
    128,
    {"guidance_scale": 9.0},
    {"text_encoder": _SIGN},
    upcast=True,
    text_layers=_SD2_LAYERS,
    low_res=published.LOW_RES_SCHEDULER,
)
SDXL = Family(
    "SDXL",
    "StableDiffusionXLPipeline",
    published.SDXL_SCHEDULER,
    {"scaling_factor": 0.13025, "force_upcast": True},
    128,
    {"guidance_scale": 5.0},
    {"text_encoder": _END, "text_encoder_2": _SIGN},
    index={"force_zeros_for_empty_prompt": True},
)
REFINER = Family(
    "SDXL refiner",
    "StableDiffusionXLImg2ImgPipeline",
    published.SDXL_SCHEDULER,
    {"scaling_factor": 0.13025, "force_upcast": True},
    128,
    {"guidance_scale": 5.0},
    {"text_encoder_2": _SIGN},
    index={"force_zeros_for_empty_prompt": False},
)

# By the number of attentions to the text, and of levels, what models with fewer than their family's first are called.
_SMALLER = {
    (34, 3): "SSD-1B",
    (15, 3): "Segmind-Vega",
    (30, 3): "KOALA-1B",
    (21, 3): "KOALA-700M",
    (10, 4): "BK-SDM-Base",
    (9, 4): "BK-SDM-Small",
    (9, 3): "BK-SDM-Tiny",
}
_WITH_CHANNELS = {5: "depth", 8: "InstructPix2Pix", 9: "inpainting"}
SD2_CONTEXT = 1024
# Widths of the text's states and of the row that is told beside the timestep, of families that do not run.
_REFUSED_ROWS = {(2048, 5632): "a Kolors", (1024, 2048): "an unCLIP model", (1024, 1536): "an unCLIP model"}
_X4_CHANNELS = 7


def family_of(unet: Mapping[str, Any], is_open_clip: bool, where: str) -> Family:
    """The family of a UNet's config.

    Args:
        unet: as `derive.unet_config` gives it.
        is_open_clip: its one text encoder is OpenCLIP's.
        where: for messages.

    Raises:
        ModelError: it is of one that does not run here.
    """
    added = unet.get("projection_class_embeddings_input_dim")
    context, channels = unet["cross_attention_dim"], unet["in_channels"]
    kind = _REFUSED_ROWS.get((context, added or 0))
    is_told = unet.get("num_class_embeds") is not None
    if is_told != (channels == _X4_CHANNELS):
        kind = (
            "told a class, and no x4 upscaler"
            if is_told
            else "an upscaler of another kind than the x4 upscaler"
        )
    if kind is not None:
        raise ModelError(
            f"{where}: is {kind}, which does not run here. Expected a checkpoint of Stable Diffusion 1.x, 2.x or XL: "
            "for text to image, inpainting, depth, or InstructPix2Pix, or the x4 upscaler."
        )
    if is_told:
        return X4
    if added is None:
        return SD2 if context == SD2_CONTEXT or is_open_clip else SD1
    # A refiner is told the pooled text of its one encoder, as wide as its states, and five numbers.
    return REFINER if added == context + 5 * TIME_WIDTH else SDXL


def name_of(family: Family, unet: Mapping[str, Any], attentions: int) -> str:
    """What people call a model: its family, or the smaller one that it is, and what its channels say it is made for."""
    name = _SMALLER.get((attentions, len(unet["block_out_channels"])), family.name)
    if unet.get("time_cond_proj_dim") is not None:
        name += ", latent consistency"
    special = _WITH_CHANNELS.get(unet["in_channels"])
    return name if special is None else f"{name}, {special}"
