"""UNet2DConditionModel with cross-attention, as Stable Diffusion 1.x has it, from its config.json to an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto

from latentrt_export.backbone import Backbone, Level
from latentrt_export.emitter import Compute, Emitter
from latentrt_export.layers import attention, conv, group_norm, layer_norm, linear
from latentrt_export.options import Options

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")
TRANSFORMER_GROUP_NORM_EPS = 1e-6  # diffusers' Transformer2DModel
LAYER_NORM_EPS = 1e-5  # diffusers' BasicTransformerBlock

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
        rows = list(zip(widths, layers, heads, depth, strict=True))
        down_levels = [Level(*row, b.startswith("Cross")) for row, b in zip(rows, down, strict=True)]
        up_levels = [Level(*row, b.startswith("Cross")) for row, b in zip(rows[::-1], up, strict=True)]
        for level in (*down_levels, *up_levels):
            if level.channels % level.heads:
                raise o.unsupported(named, heads, f"divisors of block_out_channels {widths}")
        self.e = e
        self.backbone = Backbone.read(o, down_levels, up_levels, channels=4)
        self.context_width = o.number("cross_attention_dim", 1280)
        self.linear_projection = bool(o.get("use_linear_projection", False))
        self.upcast = bool(o.get("upcast_attention", False))

    def emit(self) -> None:
        """Emit the whole network, inputs and outputs included."""
        e, net = self.e, self.backbone
        x = e.input("sample", ("batch", net.in_channels, "height", "width"))
        timestep = e.input("timestep", (), TensorProto.FLOAT)
        context = e.input("encoder_hidden_states", ("batch", "sequence", self.context_width))
        x = net.emit(e, x, timestep, lambda x, name, level: self.transformer(x, name, level, context))
        e.output("out_sample", x, ("batch", net.out_channels, "height", "width"))

    def transformer(self, x: str, name: str, level: Level, context: str) -> str:
        """(b, c, h, w) → (b, c, h, w), diffusers' Transformer2DModel: pixels attend to pixels, then to the text."""
        e, width = self.e, level.channels
        with e.scope(name):
            h = group_norm(e, x, "norm", width, self.backbone.groups, TRANSFORMER_GROUP_NORM_EPS)
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

    def block(self, h: str, level: Level, context: str) -> str:
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

    def attention(self, x: str, context: str, name: str, level: Level, context_width: int) -> str:
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
