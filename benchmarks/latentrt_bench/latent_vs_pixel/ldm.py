"""The paper's own experiment: its unconditional LDM-1 (pixels), 2, 4, 8, 16 and 32, arXiv:2112.10752, table 14.

All six have about the same number of parameters and differ in how far their first stage has compressed the picture
that they denoise. Their graphs are written from the configurations that the runtime reads.
"""

from dataclasses import dataclass
from typing import Any, Literal

from latentrt.errors import InputError
from latentrt.networks import COMPUTES, Graph, Variant, build

Part = Literal["unet", "decoder", "encoder"]

TRAINED_SIZE = 256  # pixels, height and width of the paper's CelebA-HQ pictures
LAYERS = 2  # residual blocks a level, of UNet and first stage alike
HEAD_CHANNELS = 32  # of the UNet's attention


@dataclass(frozen=True)
class LDM:
    """One model of the table, and its first stage.

    f: pixels that one latent stands for, along each axis; 1 denoises the pixels themselves.
    latent_channels: of what is denoised.
    base_channels, multipliers: the channels of the UNet's levels, first to last, are their products.
    attention_resolutions: the UNet attends on feature maps of these heights, for a picture of `TRAINED_SIZE`. With a
        larger picture the same levels attend, on more pixels.
    first_stage: channels of the autoencoder's levels, None for pixels. The table leaves them out; the authors' own
        configurations (kl-f4 to kl-f32) have them, and f = 2 follows their manner. Attention is in the middle block
        only, as diffusers' AutoencoderKL has it; theirs for f = 16 and 32 also attend at 16² and 8² pixels.
    """

    f: int
    latent_channels: int
    base_channels: int
    multipliers: tuple[int, ...]
    attention_resolutions: tuple[int, ...]
    first_stage: tuple[int, ...] | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The networks that it is made of."""
        return ("unet",) if self.first_stage is None else ("unet", "decoder", "encoder")

    def latent_shape(self, width: int, height: int, batch: int = 1) -> tuple[int, int, int, int]:
        """(batch, c, height / f, width / f) of what stands for a picture of that many pixels.

        Raises:
            InputError: the picture is no whole number of latents.
        """
        for name, size in (("width", width), ("height", height)):
            if size < 1 or size % self.f:
                raise InputError(f"{name}: {size} pixels for LDM-{self.f}; expected a multiple of {self.f}")
        return batch, self.latent_channels, height // self.f, width // self.f

    @property
    def unet_config(self) -> dict[str, Any]:
        """The config.json of diffusers' UNet2DModel, in the manner of CompVis/ldm-celebahq-256."""
        heights = [TRAINED_SIZE // self.f >> level for level in range(len(self.multipliers))]
        attends = [height in self.attention_resolutions for height in heights]
        return {
            "_class_name": "UNet2DModel",
            "attention_head_dim": HEAD_CHANNELS,
            "block_out_channels": [self.base_channels * multiplier for multiplier in self.multipliers],
            "down_block_types": ["AttnDownBlock2D" if a else "DownBlock2D" for a in attends],
            "in_channels": self.latent_channels,
            "layers_per_block": LAYERS,
            "out_channels": self.latent_channels,
            "sample_size": heights[0],
            "up_block_types": ["AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)],
        }

    @property
    def first_stage_config(self) -> dict[str, Any] | None:
        """The config.json of diffusers' AutoencoderKL, None for pixels."""
        if self.first_stage is None:
            return None
        return {
            "_class_name": "AutoencoderKL",
            "block_out_channels": list(self.first_stage),
            "down_block_types": ["DownEncoderBlock2D"] * len(self.first_stage),
            "latent_channels": self.latent_channels,
            "layers_per_block": LAYERS,
            "sample_size": TRAINED_SIZE,
            "up_block_types": ["UpDecoderBlock2D"] * len(self.first_stage),
        }


LDMS: dict[int, LDM] = {
    1: LDM(1, 3, 192, (1, 1, 2, 2, 4, 4), (32, 16, 8), None),
    2: LDM(2, 2, 192, (1, 2, 2, 4, 4), (32, 16, 8), (128, 256)),
    4: LDM(4, 3, 224, (1, 2, 3, 4), (32, 16, 8), (128, 256, 512)),
    8: LDM(8, 4, 256, (1, 2, 4), (32, 16, 8), (128, 256, 512, 512)),
    16: LDM(16, 8, 256, (1, 2, 4), (16, 8, 4), (128, 128, 256, 256, 512)),
    32: LDM(32, 32, 256, (1, 2, 4), (8, 4, 2), (128, 128, 256, 256, 512, 512)),
}


def build_graph(f: int, part: Part, dtype: str, fused_attention: bool = False) -> Graph:
    """A network's graph without weights; it serves one session.

    Args:
        f: a key of `LDMS`.
        part: one of that model's `parts`.
        dtype: "fp16" or "fp32", what the graph computes in.
        fused_attention: see `Variant`.

    Raises:
        InputError: there is no such graph.
    """
    if f not in LDMS:
        raise InputError(f"LDM-{f}: no such model; expected one of {', '.join(map(str, LDMS))}")
    ldm = LDMS[f]
    if part not in ldm.parts:
        raise InputError(f"LDM-{f}: has no {part}; expected one of {', '.join(ldm.parts)}")
    if dtype not in COMPUTES:
        raise InputError(f"LDM-{f} {part}: dtype {dtype!r}; expected {' or '.join(COMPUTES)}")
    where, variant = f"LDM-{f} {part}", Variant(dtype, fused_attention=fused_attention)
    if part == "unet" or ldm.first_stage_config is None:
        return build("unconditional_unet", ldm.unet_config, variant, where)
    return build(f"vae_{part}", ldm.first_stage_config, variant, where)
