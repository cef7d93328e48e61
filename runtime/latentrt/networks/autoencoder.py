"""AutoencoderKL's two halves, from its config.json to ONNX graphs."""

from dataclasses import dataclass

from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import (
    channels_first,
    conv,
    from_channels_first,
    group_norm,
    pixel_attention,
    resnet,
    silu,
    upsample,
)
from latentrt.networks.options import Options
from latentrt.networks.variant import Variant

EPS = 1e-6  # of every norm in diffusers' Encoder and Decoder


@dataclass(frozen=True)
class Autoencoder:
    """What config.json says; both halves read the same one."""

    widths: tuple[int, ...]
    layers: int
    groups: int
    latent_channels: int
    in_channels: int
    out_channels: int
    quant_conv: bool
    post_quant_conv: bool
    mid_attention: bool

    @classmethod
    def read(cls, o: Options) -> "Autoencoder":
        """Check every setting."""
        o.choice("act_fn", "silu", "swish")
        o.pass_over("sample_size", "force_upcast", "gradient_checkpointing")
        o.pass_over("scaling_factor", "shift_factor", "latents_mean", "latents_std")
        widths = o.numbers("block_out_channels", (64,))
        for key, name in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            o.blocks(key, len(widths), (name,), (name,))
        groups = o.number("norm_num_groups", 32)
        if any(width % groups for width in widths):
            raise o.unsupported("norm_num_groups", groups, f"a divisor of block_out_channels {widths}")
        return cls(
            widths=widths,
            layers=o.count("layers_per_block", 1),
            groups=groups,
            latent_channels=o.number("latent_channels", 4),
            in_channels=o.number("in_channels", 3),
            out_channels=o.number("out_channels", 3),
            quant_conv=o.flag("use_quant_conv", True),
            post_quant_conv=o.flag("use_post_quant_conv", True),
            mid_attention=o.flag("mid_block_add_attention", True),
        )

    def resnet(self, e: Emitter, x: str, name: str, n_in: int, n_out: int) -> str:
        """One ResnetBlock2D without time."""
        return resnet(e, x, name, n_in, n_out, self.groups, EPS)

    def mid_block(self, e: Emitter, x: str) -> str:
        """(b, c, h, w) → (b, c, h, w): residual block, attention with one head over all pixels, residual block."""
        width = self.widths[-1]
        with e.scope("mid_block"):
            x = self.resnet(e, x, "resnets.0", width, width)
            if self.mid_attention:
                x = pixel_attention(e, x, "attentions.0", width, 1, self.groups, EPS)
            return self.resnet(e, x, "resnets.1", width, width)

    def out(self, e: Emitter, x: str, width: int, channels: int) -> str:
        """The norm, activation and convolution at the end of both halves."""
        x = silu(e, group_norm(e, x, "conv_norm_out", width, self.groups, EPS))
        return conv(e, x, "conv_out", width, channels)


def build_vae_encoder(o: Options, variant: Variant) -> Graph:
    """Pixels (b, 3, h, w) in [-1, 1] → mean ‖ logvar, (b, 2c, h/8, w/8) with four levels."""
    vae = Autoencoder.read(o)
    e = Emitter(variant)
    x = e.input("sample", ("batch", vae.in_channels, "height", "width"))
    moments = 2 * vae.latent_channels
    with e.scope("encoder"):
        width = vae.widths[0]
        x = conv(e, x, "conv_in", vae.in_channels, width)
        for index, channels in enumerate(vae.widths):
            with e.scope(f"down_blocks.{index}"):
                for layer in range(vae.layers):
                    x = vae.resnet(e, x, f"resnets.{layer}", width, channels)
                    width = channels
                if index < len(vae.widths) - 1:
                    x = conv(e, x, "downsamplers.0.conv", width, width, stride=2, pads=(0, 1))
        x = vae.out(e, vae.mid_block(e, x), width, moments)
    if vae.quant_conv:
        x = conv(e, x, "quant_conv", moments, moments, kernel=1)
    e.output("latent_parameters", x, ("batch", moments, "latent_height", "latent_width"))
    return e.finish("vae_encoder")


def build_vae_decoder(o: Options, variant: Variant) -> Graph:
    """Latents (b, c, h, w), already divided by the scaling factor → pixels (b, 3, 8h, 8w) with four levels."""
    vae = Autoencoder.read(o)
    e = Emitter(variant)
    x = e.input("latent_sample", ("batch", vae.latent_channels, "height", "width"))
    x = from_channels_first(e, x)
    if vae.post_quant_conv:
        x = conv(e, x, "post_quant_conv", vae.latent_channels, vae.latent_channels, kernel=1)
    with e.scope("decoder"):
        width = vae.widths[-1]
        x = vae.mid_block(e, conv(e, x, "conv_in", vae.latent_channels, width))
        for index, channels in enumerate(reversed(vae.widths)):
            with e.scope(f"up_blocks.{index}"):
                for layer in range(vae.layers + 1):
                    x = vae.resnet(e, x, f"resnets.{layer}", width, channels)
                    width = channels
                if index < len(vae.widths) - 1:
                    x = upsample(e, x, "upsamplers.0", width)
        x = vae.out(e, x, width, vae.out_channels)
    e.output("sample", channels_first(e, x), ("batch", vae.out_channels, "sample_height", "sample_width"))
    return e.finish("vae_decoder")
