"""UNet2DModel without conditions, as unconditional latent diffusion has it, from its config.json to an ONNX graph."""

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto

from latentrt_export.backbone import Backbone, Level
from latentrt_export.emitter import Compute, Emitter
from latentrt_export.layers import pixel_attention
from latentrt_export.options import Options

COMPONENT = "unconditional_unet"
DOWN_BLOCKS = ("AttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("AttnUpBlock2D", "UpBlock2D")

# Settings whose other values change the network in ways that have no graph here.
_FIXED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "add_attention": (True,),
    "attn_norm_num_groups": (None,),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "downsample_type": ("conv",),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2D",),
    "num_class_embeds": (None,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_type": ("positional",),
    "upsample_type": ("conv",),
}


def _levels(o: Options) -> tuple[list[Level], list[Level]]:
    """The levels on the way down and on the way up."""
    widths = o.get("block_out_channels", (224, 448, 672, 896))
    count = len(widths)
    widths = o.per_level("block_out_channels", count, widths)
    layers = o.number("layers_per_block", 2)
    # Here attention_head_dim is what it says, the channels of a head; null makes one head of all channels.
    dim = None if o.get("attention_head_dim", 8) is None else o.number("attention_head_dim", 8)
    down = [b == "AttnDownBlock2D" for b in o.blocks("down_block_types", count, DOWN_BLOCKS)]
    up = [b == "AttnUpBlock2D" for b in o.blocks("up_block_types", count, UP_BLOCKS)]
    for channels, attends in [*zip(widths, down, strict=True), *zip(widths[::-1], up, strict=True)]:
        if dim is not None and (attends or channels == widths[-1]) and channels % dim:
            raise o.unsupported("attention_head_dim", dim, f"a divisor of block_out_channels {widths}")

    def level(channels: int, attends: bool) -> Level:
        return Level(channels, layers, 1 if dim is None else channels // dim, 1, attends)

    return [*map(level, widths, down)], [*map(level, reversed(widths), up)]


def build_unconditional_unet(config: Mapping[str, Any], compute: Compute) -> onnx.ModelProto:
    """The weight-free graph of an unconditional UNet: (b, c, h, w) and a timestep → (b, c, h, w), ε as a rule.

    Any height and width work: an upsampling takes the size of the skip connection it meets.

    Raises:
        ModelError: a setting of `config` that has no graph here, named.
    """
    o = Options(COMPONENT, config)
    for key, allowed in _FIXED.items():
        o.only(key, *allowed)
    net = Backbone.read(o, *_levels(o), channels=3)
    e = Emitter(compute)
    x = e.input("sample", ("batch", net.in_channels, "height", "width"))
    timestep = e.input("timestep", (), TensorProto.FLOAT)

    def attend(x: str, name: str, level: Level) -> str:
        return pixel_attention(e, x, name, level.channels, level.heads, net.groups, net.eps)

    x = net.emit(e, x, timestep, attend)
    e.output("out_sample", x, ("batch", net.out_channels, "height", "width"))
    return e.model(COMPONENT)
