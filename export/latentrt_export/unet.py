"""UNet2DConditionModel with cross-attention, as Stable Diffusion 1.x has it, from its config.json to an ONNX graph."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from latentrt_export.emitter import Compute, Emitter
from latentrt_export.layers import (
    attention,
    conv,
    group_norm,
    layer_norm,
    linear,
    resnet,
    silu,
    upsample,
)
from latentrt_export.options import Options

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")
TRANSFORMER_GROUP_NORM_EPS = 1e-6  # diffusers' Transformer2DModel
LAYER_NORM_EPS = 1e-5  # diffusers' BasicTransformerBlock
MAX_PERIOD = 10000.0  # of the sinusoidal embedding

# Settings whose other values change the network in ways that no Stable Diffusion 1.x checkpoint uses.
_FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_only_cross_attention": (None, False),
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}


@dataclass(frozen=True)
class _Level:
    """What the blocks of one resolution share."""

    channels: int
    layers: int
    depth: int
    heads: int
    attends: bool


class _UNet:
    """Emits one network; the methods are its modules."""

    def __init__(self, e: Emitter, config: Mapping[str, Any]) -> None:
        o = Options("unet", config)
        for key, allowed in _FIXED.items():
            o.only(key, *allowed)
        widths = o.get("block_out_channels", (320, 640, 1280, 1280))
        count = len(widths)
        widths = o.per_level("block_out_channels", count, widths)
        layers = o.per_level("layers_per_block", count, 2)
        depth = o.per_level("transformer_layers_per_block", count, 1)
        # The published configurations say attention_head_dim and mean the number of heads; diffusers reads it so.
        named = "attention_head_dim" if o.get("num_attention_heads", None) is None else "num_attention_heads"
        heads = o.per_level(named, count, 8)
        down = o.blocks("down_block_types", count, DOWN_BLOCKS)
        up = o.blocks("up_block_types", count, UP_BLOCKS)
        rows = list(zip(widths, layers, depth, heads, strict=True))
        self.down = [_Level(*row, attends=b.startswith("Cross")) for row, b in zip(rows, down, strict=True)]
        self.up = [_Level(*row, attends=b.startswith("Cross")) for row, b in zip(rows[::-1], up, strict=True)]
        for level in (*self.down, *self.up):
            if level.channels % level.heads:
                raise o.unsupported(named, heads, f"divisors of block_out_channels {widths}")
        self.e = e
        self.in_channels, self.out_channels = o.number("in_channels", 4), o.number("out_channels", 4)
        self.context_width = o.number("cross_attention_dim", 1280)
        self.groups = o.number("norm_num_groups", 32)
        self.eps = float(o.get("norm_eps", 1e-5))
        self.downsample_padding = int(o.get("downsample_padding", 1))
        self.mid_scale = float(o.get("mid_block_scale_factor", 1))
        self.linear_projection = bool(o.get("use_linear_projection", False))
        self.upcast = bool(o.get("upcast_attention", False))
        self.temb_width = (
            4 * widths[0] if o.get("time_embedding_dim", None) is None else o.number("time_embedding_dim")
        )
        self.flip = bool(o.get("flip_sin_to_cos", True))
        self.freq_shift = float(o.get("freq_shift", 0))

    def emit(self) -> None:
        """Emit the whole network, inputs and outputs included."""
        e = self.e
        x = e.input("sample", ("batch", self.in_channels, "height", "width"))
        timestep = e.input("timestep", (), TensorProto.FLOAT)
        context = e.input("encoder_hidden_states", ("batch", "sequence", self.context_width))
        width = self.down[0].channels
        temb = self.time_embedding(timestep, width)
        x = conv(e, x, "conv_in", self.in_channels, width)
        skips = [(x, width)]
        for index, level in enumerate(self.down):
            with e.scope(f"down_blocks.{index}"):
                for layer in range(level.layers):
                    x = self.resnet(x, f"resnets.{layer}", width, level.channels, temb)
                    width = level.channels
                    if level.attends:
                        x = self.transformer(x, f"attentions.{layer}", level, context)
                    skips.append((x, width))
                if index < len(self.down) - 1:
                    # diffusers pads by hand, at the right and the bottom, where the convolution does not.
                    pads = (0, 1) if self.downsample_padding == 0 else (self.downsample_padding,) * 2
                    x = conv(e, x, "downsamplers.0.conv", width, width, stride=2, pads=pads)
                    skips.append((x, width))
        with e.scope("mid_block"):
            x = self.resnet(x, "resnets.0", width, width, temb, self.mid_scale)
            x = self.transformer(x, "attentions.0", self.down[-1], context)
            x = self.resnet(x, "resnets.1", width, width, temb, self.mid_scale)
        for index, level in enumerate(self.up):
            with e.scope(f"up_blocks.{index}"):
                for layer in range(level.layers + 1):
                    skip, skip_width = skips.pop()
                    joined = e.op("Concat", x, skip, axis=1)
                    x = self.resnet(joined, f"resnets.{layer}", width + skip_width, level.channels, temb)
                    width = level.channels
                    if level.attends:
                        x = self.transformer(x, f"attentions.{layer}", level, context)
                if index < len(self.up) - 1:
                    x = upsample(e, x, "upsamplers.0", width, like=skips[-1][0])
        x = silu(e, group_norm(e, x, "conv_norm_out", width, self.groups, self.eps))
        x = conv(e, x, "conv_out", width, self.out_channels)
        e.output("out_sample", x, ("batch", self.out_channels, "height", "width"))

    def time_embedding(self, timestep: str, width: int) -> str:
        """() → SiLU of the embedded time, (1, temb_width): one row, since all samples share the timestep."""
        e = self.e
        half = width // 2
        # Sinusoids, as torch rounds them: the exponents in float32, then the exponential.
        exponents = np.float32(-math.log(MAX_PERIOD)) * np.arange(half, dtype=np.float32)
        exponents /= np.float32(half - self.freq_shift)
        frequencies = [math.exp(x) for x in exponents]
        with e.scope("time_proj"):
            angles = e.op("Mul", timestep, e.floats32("time_proj.frequencies", frequencies))
            sin, cos = e.op("Sin", angles), e.op("Cos", angles)
            waves = e.op("Concat", *((cos, sin) if self.flip else (sin, cos)), axis=0)
            waves = e.op("Unsqueeze", waves, e.ints(0))
            if e.compute == "fp16":
                waves = e.cast(waves, e.float_type)
        with e.scope("time_embedding"):
            h = silu(e, linear(e, waves, "linear_1", width, self.temb_width))
            return silu(e, linear(e, h, "linear_2", self.temb_width, self.temb_width))

    def resnet(self, x: str, name: str, n_in: int, n_out: int, temb: str, scale: float = 1.0) -> str:
        """One ResnetBlock2D with the network's own norm."""
        return resnet(
            self.e, x, name, n_in, n_out, self.groups, self.eps, temb, self.temb_width, scale
        )  # fmt: skip

    def transformer(self, x: str, name: str, level: _Level, context: str) -> str:
        """(b, c, h, w) → (b, c, h, w), diffusers' Transformer2DModel: pixels attend to pixels, then to the text."""
        e, width = self.e, level.channels
        with e.scope(name):
            h = group_norm(e, x, "norm", width, self.groups, TRANSFORMER_GROUP_NORM_EPS)
            if not self.linear_projection:
                h = conv(e, h, "proj_in", width, width, kernel=1)
            h = e.op("Transpose", e.op("Reshape", h, e.ints(0, width, -1)), perm=[0, 2, 1])
            if self.linear_projection:
                h = linear(e, h, "proj_in", width, width)
            for index in range(level.depth):
                with e.scope(f"transformer_blocks.{index}"):
                    h = self.block(h, level, context)
            if self.linear_projection:
                h = linear(e, h, "proj_out", width, width)
            h = e.op("Reshape", e.op("Transpose", h, perm=[0, 2, 1]), e.op("Shape", x))
            if not self.linear_projection:
                h = conv(e, h, "proj_out", width, width, kernel=1)
            return e.op("Add", h, x)

    def block(self, h: str, level: _Level, context: str) -> str:
        """(b, s, c) → (b, s, c), diffusers' BasicTransformerBlock: two attentions and a GEGLU feed-forward."""
        e, width = self.e, level.channels
        norm = layer_norm(e, h, "norm1", width, LAYER_NORM_EPS)
        h = e.op("Add", self.attention(norm, norm, "attn1", level, width), h)
        norm = layer_norm(e, h, "norm2", width, LAYER_NORM_EPS)
        h = e.op("Add", self.attention(norm, context, "attn2", level, self.context_width), h)
        norm = layer_norm(e, h, "norm3", width, LAYER_NORM_EPS)
        with e.scope("ff"):
            both = linear(e, norm, "net.0.proj", width, 8 * width)
            value, gate = e.ops("Split", 2, both, axis=-1, num_outputs=2)
            y = e.op("Mul", value, e.op("Gelu", gate))
            return e.op("Add", linear(e, y, "net.2", 4 * width, width), h)

    def attention(self, x: str, context: str, name: str, level: _Level, context_width: int) -> str:
        """Queries from `x` (b, s, c), keys and values from `context` (b, t, context_width) → (b, s, c)."""
        e, width = self.e, level.channels
        with e.scope(name):
            q = linear(e, x, "to_q", width, width, bias=False)
            k = linear(e, context, "to_k", context_width, width, bias=False)
            v = linear(e, context, "to_v", context_width, width, bias=False)
            y = attention(e, q, k, v, level.heads, width, upcast=self.upcast)
            return linear(e, y, "to_out.0", width, width)


def build_unet(config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """The weight-free graph of a UNet.

    Any latent height and width work: as diffusers does, an upsampling takes the size of the skip connection it meets.

    Raises:
        ModelError: a setting of `config` that has no graph here, named.
    """
    e = Emitter(compute)
    _UNet(e, config).emit()
    return e.model("unet")
