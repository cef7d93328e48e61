"""UNet2DConditionModel, the denoiser of Stable Diffusion, from its config.json to an ONNX graph."""

from dataclasses import dataclass, replace
from typing import Any

from latentrt.networks.backbone import Backbone, Block, Level
from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import attention, conv, group_norm, layer_norm, linear, pixels, tokens
from latentrt.networks.options import MAX_SIZE, Options
from latentrt.networks.proto import FLOAT
from latentrt.networks.variant import Variant

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")
TRANSFORMER_GROUP_NORM_EPS = 1e-6  # diffusers' Transformer2DModel
LAYER_NORM_EPS = 1e-5  # diffusers' BasicTransformerBlock

# Settings with few values that have a graph here; the first is the class's default.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None,),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "num_attention_heads": (None,),  # diffusers refuses it: published configs say attention_head_dim
    "num_class_embeds": (None,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "reverse_transformer_layers_per_block": (None,),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
# Settings of training and storage; and those that only other values of the choices above would read.
_IRRELEVANT = (
    "addition_embed_type_num_heads",
    "addition_time_embed_dim",
    "dropout",
    "gradient_checkpointing",
    "mid_block_only_cross_attention",
    "projection_class_embeddings_input_dim",
    "sample_size",
)


@dataclass(frozen=True)
class UNet:
    """What config.json says."""

    backbone: Backbone
    context_width: int
    linear_projection: bool
    upcast: bool

    @classmethod
    def read(cls, o: Options) -> "UNet":
        """Check every setting."""
        o.only(_CHOICES)
        o.pass_over(*_IRRELEVANT)
        widths = o.numbers("block_out_channels", (320, 640, 1280, 1280))
        count = len(widths)
        layers = o.per_level("layers_per_block", count, 2)
        depths = o.per_level("transformer_layers_per_block", count, 1)
        # The published configurations say attention_head_dim and mean the number of heads; diffusers reads it so.
        heads = o.per_level("attention_head_dim", count, 8, high=MAX_SIZE)
        down = o.blocks("down_block_types", count, DOWN_BLOCKS, (*DOWN_BLOCKS[:1] * 3, DOWN_BLOCKS[1]))
        up = o.blocks("up_block_types", count, UP_BLOCKS, (UP_BLOCKS[1], *UP_BLOCKS[:1] * 3))
        rows = [Level(*row) for row in zip(widths, layers, heads, depths, strict=True)]
        if any(level.heads > level.channels for level in rows):
            raise o.unsupported("attention_head_dim", heads, f"no more than the channels, {widths}")
        if o.get("only_cross_attention", False) not in (False, [False] * count, (False,) * count):
            raise o.unsupported("only_cross_attention", o.get("only_cross_attention"), "false")
        context_widths = o.per_level("cross_attention_dim", count, 1280, high=MAX_SIZE)
        if len(set(context_widths)) > 1:
            raise o.unsupported(
                "cross_attention_dim", o.get("cross_attention_dim"), "the same for all levels"
            )
        return cls(
            Backbone.read(
                o,
                [_attending(level, name) for level, name in zip(rows, down, strict=True)],
                [_attending(level, name) for level, name in zip(rows[::-1], up, strict=True)],
                rows[-1] if o.has_middle("UNetMidBlock2DCrossAttn") else None,
                channels=4,
            ),
            context_widths[0],
            o.flag("use_linear_projection", False),
            o.flag("upcast_attention", False),
        )

    def transformer(self, e: Emitter, x: str, name: str, block: Block, context: str) -> str:
        """(b, c, h, w) → (b, c, h, w), diffusers' Transformer2DModel: pixels attend to pixels, then to the text."""
        width = block.n_out
        inner = width // block.heads * block.heads
        with e.scope(name):
            h = group_norm(e, x, "norm", width, self.backbone.groups, TRANSFORMER_GROUP_NORM_EPS)
            if self.linear_projection:
                h = linear(e, tokens(e, h, width), "proj_in", width, inner)
            else:
                h = tokens(e, conv(e, h, "proj_in", width, inner, kernel=1), inner)
            for index in range(block.depth):
                with e.scope(f"transformer_blocks.{index}"):
                    h = self._layer(e, h, block.heads, inner, context)
            if self.linear_projection:
                h = pixels(e, linear(e, h, "proj_out", inner, width), width, x, width)
            else:
                h = conv(e, pixels(e, h, inner, x, width), "proj_out", inner, width, kernel=1)
            return e.op("Add", h, x)

    def _layer(self, e: Emitter, h: str, heads: int, width: int, context: str) -> str:
        """(b, s, c) → (b, s, c), diffusers' BasicTransformerBlock: two attentions and a GEGLU feed-forward."""
        norm = layer_norm(e, h, "norm1", width, LAYER_NORM_EPS)
        h = e.op("Add", self._attention(e, norm, norm, "attn1", heads, width, width), h)
        norm = layer_norm(e, h, "norm2", width, LAYER_NORM_EPS)
        h = e.op("Add", self._attention(e, norm, context, "attn2", heads, width, self.context_width), h)
        norm = layer_norm(e, h, "norm3", width, LAYER_NORM_EPS)
        with e.scope("ff"):
            both = linear(e, norm, "net.0.proj", width, 8 * width)
            value, gate = e.ops("Split", 2, both, axis=-1, num_outputs=2)
            y = e.op("Mul", value, e.op("Gelu", gate))
            return e.op("Add", linear(e, y, "net.2", 4 * width, width), h)

    def _attention(
        self, e: Emitter, x: str, context: str, name: str, heads: int, width: int, context_width: int
    ) -> str:
        """Queries from `x` (b, s, width), keys and values from `context` (b, t, context_width) → (b, s, width)."""
        with e.scope(name):
            q = linear(e, x, "to_q", width, width, bias=False)
            k = linear(e, context, "to_k", context_width, width, bias=False)
            v = linear(e, context, "to_v", context_width, width, bias=False)
            y = attention(e, q, k, v, heads, width, upcast=self.upcast)
            return linear(e, y, "to_out.0", width, width)


def build_unet(o: Options, variant: Variant) -> Graph:
    """(b, c, h, w), a timestep and what the text says, (b, s, d) → (b, c, h, w).

    Any latent height and width work: as diffusers does, an upsampling takes the size of the skip connection it meets.
    """
    unet = UNet.read(o)
    net = unet.backbone
    e = Emitter(variant)
    x = e.input("sample", ("batch", net.in_channels, "height", "width"))
    timestep = e.input("timestep", (), FLOAT)
    context = e.input("encoder_hidden_states", ("batch", "sequence", unet.context_width))
    x = net.emit(e, x, timestep, lambda x, name, block: unet.transformer(e, x, name, block, context))
    e.output("out_sample", x, ("batch", net.out_channels, "height", "width"))
    return e.finish("unet")


def _attending(level: Level, block_type: str) -> Level:
    return level if block_type.startswith("Cross") else replace(level, depth=0)
