"""AutoencoderKL's two halves, from its config.json to ONNX graphs."""

from collections.abc import Mapping
from typing import Any

import onnx

from latentrt_export.emitter import Compute, Emitter
from latentrt_export.layers import conv, group_norm, pixel_attention, resnet, silu, upsample
from latentrt_export.options import Options

EPS = 1e-6  # of every norm in diffusers' Encoder and Decoder

_FIXED: dict[str, tuple[Any, ...]] = {"act_fn": ("silu", "swish")}


class _Autoencoder:
    """What both halves read from the configuration, and the block in their middle."""

    def __init__(self, e: Emitter, component: str, config: Mapping[str, Any]) -> None:
        o = Options(component, config)
        for key, allowed in _FIXED.items():
            o.only(key, *allowed)
        widths = o.get("block_out_channels", (64,))
        self.e = e
        self.widths = o.per_level("block_out_channels", len(widths), widths)
        o.blocks("down_block_types", len(widths), ("DownEncoderBlock2D",))
        o.blocks("up_block_types", len(widths), ("UpDecoderBlock2D",))
        self.layers = o.number("layers_per_block", 1)
        self.groups = o.number("norm_num_groups", 32)
        self.latent_channels = o.number("latent_channels", 4)
        self.in_channels, self.out_channels = o.number("in_channels", 3), o.number("out_channels", 3)
        self.quant_conv = bool(o.get("use_quant_conv", True))
        self.post_quant_conv = bool(o.get("use_post_quant_conv", True))
        self.mid_attention = bool(o.get("mid_block_add_attention", True))

    def resnet(self, x: str, name: str, n_in: int, n_out: int) -> str:
        """One ResnetBlock2D without time."""
        return resnet(self.e, x, name, n_in, n_out, self.groups, EPS)

    def mid_block(self, x: str) -> str:
        """(b, c, h, w) → (b, c, h, w): residual block, attention with one head over all pixels, residual block."""
        e, width = self.e, self.widths[-1]
        with e.scope("mid_block"):
            x = self.resnet(x, "resnets.0", width, width)
            if self.mid_attention:
                x = pixel_attention(e, x, "attentions.0", width, 1, self.groups, EPS)
            return self.resnet(x, "resnets.1", width, width)

    def out(self, x: str, width: int, channels: int) -> str:
        """The norm, activation and convolution at the end of both halves."""
        x = silu(self.e, group_norm(self.e, x, "conv_norm_out", width, self.groups, EPS))
        return conv(self.e, x, "conv_out", width, channels)


def build_vae_encoder(config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """Pixels (b, 3, h, w) in [-1, 1] → mean ‖ logvar, (b, 2c, h/8, w/8) with four levels.

    Raises:
        ModelError: a setting of `config` that has no graph here, named.
    """
    e = Emitter(compute)
    vae = _Autoencoder(e, "vae_encoder", config)
    x = e.input("sample", ("batch", vae.in_channels, "height", "width"))
    moments = 2 * vae.latent_channels
    with e.scope("encoder"):
        width = vae.widths[0]
        x = conv(e, x, "conv_in", vae.in_channels, width)
        for index, channels in enumerate(vae.widths):
            with e.scope(f"down_blocks.{index}"):
                for layer in range(vae.layers):
                    x = vae.resnet(x, f"resnets.{layer}", width, channels)
                    width = channels
                if index < len(vae.widths) - 1:
                    x = conv(e, x, "downsamplers.0.conv", width, width, stride=2, pads=(0, 1))
        x = vae.out(vae.mid_block(x), width, moments)
    if vae.quant_conv:
        x = conv(e, x, "quant_conv", moments, moments, kernel=1)
    e.output("latent_parameters", x, ("batch", moments, "latent_height", "latent_width"))
    return e.model("vae_encoder")


def build_vae_decoder(config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """Latents (b, c, h, w), already divided by the scaling factor → pixels (b, 3, 8h, 8w) with four levels.

    Raises:
        ModelError: a setting of `config` that has no graph here, named.
    """
    e = Emitter(compute)
    vae = _Autoencoder(e, "vae_decoder", config)
    x = e.input("latent_sample", ("batch", vae.latent_channels, "height", "width"))
    if vae.post_quant_conv:
        x = conv(e, x, "post_quant_conv", vae.latent_channels, vae.latent_channels, kernel=1)
    with e.scope("decoder"):
        width = vae.widths[-1]
        x = vae.mid_block(conv(e, x, "conv_in", vae.latent_channels, width))
        for index, channels in enumerate(reversed(vae.widths)):
            with e.scope(f"up_blocks.{index}"):
                for layer in range(vae.layers + 1):
                    x = vae.resnet(x, f"resnets.{layer}", width, channels)
                    width = channels
                if index < len(vae.widths) - 1:
                    x = upsample(e, x, "upsamplers.0", width)
        x = vae.out(x, width, vae.out_channels)
    e.output("sample", x, ("batch", vae.out_channels, "sample_height", "sample_width"))
    return e.model("vae_decoder")
