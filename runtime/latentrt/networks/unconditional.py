"""UNet2DModel without conditions, as unconditional latent diffusion has it, from its config.json to an ONNX graph."""

from typing import Any

from latentrt.networks.backbone import Backbone, Block, Level
from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import pixel_attention
from latentrt.networks.options import Options
from latentrt.networks.proto import FLOAT
from latentrt.networks.variant import Variant

DOWN_BLOCKS = ("AttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("AttnUpBlock2D", "UpBlock2D")

# Settings with few values that have a graph here; the first is the class's default.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "attn_norm_num_groups": (None,),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "downsample_type": ("conv",),
    "mid_block_scale_factor": (1,),
    "num_class_embeds": (None,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_type": ("positional",),
    "upsample_type": ("conv",),
}


def _read(o: Options) -> Backbone:
    """Check every setting."""
    o.only(_CHOICES)
    o.pass_over("sample_size", "dropout", "num_train_timesteps", "gradient_checkpointing")
    middle_attends = o.flag("add_attention", True)
    widths = o.numbers("block_out_channels", (224, 448, 672, 896))
    count, layers = len(widths), o.count("layers_per_block", 2)
    # Here attention_head_dim is what it says, the channels of a head; null makes one head of all channels.
    dim = None if o.is_null("attention_head_dim") else o.number("attention_head_dim", 8)
    down = o.blocks("down_block_types", count, DOWN_BLOCKS, (DOWN_BLOCKS[1], *DOWN_BLOCKS[:1] * 3))
    up = o.blocks("up_block_types", count, UP_BLOCKS, (*UP_BLOCKS[:1] * 3, UP_BLOCKS[1]))

    def level(channels: int, blocks: int, attends: bool) -> Level:
        if dim is not None and attends and channels % dim:
            raise o.unsupported("attention_head_dim", dim, f"a divisor of block_out_channels {widths}")
        return Level(channels, (int(attends),) * blocks, 1 if dim is None else channels // dim)

    return Backbone.read(
        o,
        [level(wide, layers, name == DOWN_BLOCKS[0]) for wide, name in zip(widths, down, strict=True)],
        [level(wide, layers + 1, name == UP_BLOCKS[0]) for wide, name in zip(widths[::-1], up, strict=True)],
        level(widths[-1], 1, middle_attends) if o.middle("UNetMidBlock2D") else None,
        channels=3,
    )


def build_unconditional_unet(o: Options, variant: Variant) -> Graph:
    """(b, c, h, w) and a timestep → (b, c, h, w), ε as a rule.

    Any height and width work: an upsampling takes the size of the skip connection it meets.
    """
    net = _read(o)
    e = Emitter(variant)
    x = e.input("sample", ("batch", net.in_channels, "height", "width"))
    timestep = e.input("timestep", (), FLOAT)

    def attend(x: str, name: str, block: Block) -> str:
        return pixel_attention(e, x, name, block.n_out, block.heads, net.groups, net.eps)

    x = net.emit(e, x, net.embed(e, timestep), attend)
    e.output("out_sample", x, ("batch", net.out_channels, "height", "width"))
    return e.finish("unconditional_unet")
