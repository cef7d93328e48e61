"""UNet2DConditionModel, the denoiser of Stable Diffusion, from its config.json to an ONNX graph."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from latentrt.networks.backbone import Backbone, Block, Level
from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import attention, conv, group_norm, halves, layer_norm, linear, pixels, tokens
from latentrt.networks.options import MAX_COUNT, MAX_SIZE, Options, is_whole
from latentrt.networks.proto import FLOAT, INT64
from latentrt.networks.variant import Variant

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")
TRANSFORMER_GROUP_NORM_EPS = 1e-6  # diffusers' Transformer2DModel
LAYER_NORM_EPS = 1e-5  # diffusers' BasicTransformerBlock

# Settings with few values that have a graph here; the first is the class's default.
_CHOICES: dict[str, tuple[Any, ...]] = {
    "act_fn": ("silu", "swish"),
    "addition_embed_type": (None, "text_time"),
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
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
# Settings of training and storage; and those that only other values of the choices above would read.
_IRRELEVANT = (
    "addition_embed_type_num_heads",
    "dropout",
    "gradient_checkpointing",
    "sample_size",
)


@dataclass(frozen=True)
class UNet:
    """What config.json says.

    Attributes:
        backbone: its blocks.
        context_width: of what the text says.
        linear_projection: around the blocks of attention, instead of convolutions.
        upcast: attention is computed in float32.
        added: what `text_embeds` and the sinusoids of the `time_ids` make together; 0 where it takes neither (SDXL's).
        time_width: of the sinusoids of one time id.
        guidance_width: of an embedded guidance scale; 0 where it takes none (latent consistency models).
        classes: rows of the table of what a sample may be told to be of; 0 where it is told none (the x4 upscaler's
            levels of noise).
    """

    backbone: Backbone
    context_width: int
    linear_projection: bool
    upcast: bool
    added: int
    time_width: int
    guidance_width: int
    classes: int

    @classmethod
    def read(cls, o: Options) -> "UNet":
        """Check every setting."""
        o.only(_CHOICES)
        o.pass_over(*_IRRELEVANT)
        widths = o.numbers("block_out_channels", (320, 640, 1280, 1280))
        count = len(widths)
        layers = o.per_level("layers_per_block", count, 2)
        depths, up_depths = _depths(o, layers)
        # The published configurations say attention_head_dim and mean the number of heads; diffusers reads it so.
        heads = o.per_level("attention_head_dim", count, 8, high=MAX_SIZE)
        down = o.blocks("down_block_types", count, DOWN_BLOCKS, (*DOWN_BLOCKS[:1] * 3, DOWN_BLOCKS[1]))
        up = o.blocks("up_block_types", count, UP_BLOCKS, (UP_BLOCKS[1], *UP_BLOCKS[:1] * 3))
        middle = o.middle("UNetMidBlock2DCrossAttn", "UNetMidBlock2D")
        only, only_middle = _only_context(o, count)
        rows = [Level(*row) for row in zip(widths, depths, heads, only, strict=True)]
        if any(level.heads > level.channels for level in rows):
            raise o.unsupported("attention_head_dim", heads, f"no more than the channels, {widths}")
        context_widths = o.per_level("cross_attention_dim", count, 1280, high=MAX_SIZE)
        if len(set(context_widths)) > 1:
            raise o.unsupported(
                "cross_attention_dim", o.get("cross_attention_dim"), "the same for all levels"
            )
        rising = [replace(level, depths=deep) for level, deep in zip(rows[::-1], up_depths, strict=True)]
        attends = middle == "UNetMidBlock2DCrossAttn"
        deepest = replace(rows[-1], depths=depths[-1][:1] if attends else (), only_context=only_middle)
        return cls(
            Backbone.read(
                o,
                [_attending(level, name) for level, name in zip(rows, down, strict=True)],
                [_attending(level, name) for level, name in zip(rising, up, strict=True)],
                None if middle is None else deepest,
                channels=4,
            ),
            context_widths[0],
            o.flag("use_linear_projection", False),
            o.flag("upcast_attention", False),
            *_added(o),
            0 if o.get("time_cond_proj_dim") is None else o.number("time_cond_proj_dim", 256),
            0 if o.get("num_class_embeds") is None else o.number("num_class_embeds", 1000),
        )

    def added_embedding(self, e: Emitter) -> str:
        """(b, temb_width) of the ports `text_embeds` (b, p) and `time_ids` (b, n): p + n·time_width numbers."""
        text = e.input("text_embeds", ("batch", "text_width"))
        ids = e.input("time_ids", ("batch", "time_ids"), FLOAT)
        with e.scope("add_time_proj"):
            waves = self.backbone.waves(e, e.op("Unsqueeze", ids, e.ints(2)), self.time_width, axis=2)
            waves = e.op("Reshape", waves, e.ints(0, -1))
            if e.is_half:
                waves = e.cast(waves, e.float_type)
        return self.backbone.embedding(e, e.op("Concat", text, waves, axis=1), "add_embedding", self.added)

    def class_embedding(self, e: Emitter) -> str:
        """(b, temb_width) of the port `class_labels` (b,): a row of a table, torch.nn.Embedding."""
        labels = e.input("class_labels", ("batch",), INT64)
        with e.scope("class_embedding"):
            return e.op("Gather", e.param("weight", self.classes, self.backbone.temb_width), labels, axis=0)

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
                    h = self._layer(e, h, block, inner, context)
            if self.linear_projection:
                h = pixels(e, linear(e, h, "proj_out", inner, width), width, x, width)
            else:
                h = conv(e, pixels(e, h, inner, x, width), "proj_out", inner, width, kernel=1)
            return e.op("Add", h, x)

    def _layer(self, e: Emitter, h: str, block: Block, width: int, context: str) -> str:
        """(b, s, c) → (b, s, c), diffusers' BasicTransformerBlock: two attentions and a GEGLU feed-forward."""
        heads, outside = block.heads, (context, self.context_width)
        norm = layer_norm(e, h, "norm1", width, LAYER_NORM_EPS)
        first, first_width = outside if block.only_context else (norm, width)
        h = e.op("Add", self._attention(e, norm, first, "attn1", heads, width, first_width), h)
        norm = layer_norm(e, h, "norm2", width, LAYER_NORM_EPS)
        h = e.op("Add", self._attention(e, norm, context, "attn2", heads, width, self.context_width), h)
        norm = layer_norm(e, h, "norm3", width, LAYER_NORM_EPS)
        with e.scope("ff"):
            value, gate = halves(e, norm, "net.0.proj", width, 4 * width)
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

    SDXL's takes besides `text_embeds` (b, p), the text in one row, and `time_ids` (b, 6), sizes and places of the
    picture; that of a latent consistency model `timestep_cond` (b, 256), the embedded guidance scale; that of the x4
    upscaler `class_labels` (b,), how much noise is in the picture that it is shown.

    Any latent height and width work: as diffusers does, an upsampling takes the size of the skip connection it meets.
    """
    unet = UNet.read(o)
    net = unet.backbone
    e = Emitter(variant)
    x = e.input("sample", ("batch", net.in_channels, "height", "width"))
    timestep = e.input("timestep", (), FLOAT)
    context = e.input("encoder_hidden_states", ("batch", "sequence", unet.context_width))
    e.uneven.add(context)  # CLIP makes the first row many times as large as the others
    guidance = e.input("timestep_cond", ("batch", unet.guidance_width)) if unet.guidance_width else None
    temb = net.embed(e, timestep, guidance, unet.guidance_width)
    if unet.classes:
        temb = e.op("Add", temb, unet.class_embedding(e))
    if unet.added:
        temb = e.op("Add", temb, unet.added_embedding(e))
    x = net.emit(e, x, temb, lambda x, name, block: unet.transformer(e, x, name, block, context))
    e.output("out_sample", x, ("batch", net.out_channels, "height", "width"))
    return e.finish("unet")


def _depths(o: Options, layers: Sequence[int]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Blocks of attention behind each residual block, of each level on the way down and, from the bottom, up."""
    key, reverse = "transformer_layers_per_block", "reverse_transformer_layers_per_block"
    value, up = o.get(key, 1), o.get(reverse)
    down = _nested(o, key, value, layers)
    if up is not None:
        return down, _nested(o, reverse, up, [count + 1 for count in reversed(layers)])
    if isinstance(value, list | tuple) and any(isinstance(level, list | tuple) for level in value):
        raise o.unsupported(reverse, None, f"the depths on the way up, where {key} names each block's")
    return down, [(deep[0],) * (count + 1) for deep, count in zip(down[::-1], reversed(layers), strict=True)]


def _nested(o: Options, key: str, value: Any, layers: Sequence[int]) -> list[tuple[int, ...]]:
    """One whole number for all, one for each level, or one for each of a level's blocks."""
    levels = value if isinstance(value, list | tuple) else [value] * len(layers)
    nested = [
        tuple(level) if isinstance(level, list | tuple) else (level,) * count
        for level, count in zip(levels, layers, strict=False)
    ]
    fit = len(levels) == len(layers) and all(
        len(level) == count for level, count in zip(nested, layers, strict=True)
    )
    if not fit or not all(is_whole(depth, 1, MAX_COUNT) for level in nested for depth in level):
        raise o.unsupported(
            key,
            value,
            f"a whole number from 1 to {MAX_COUNT}, {len(layers)} of them, or lists of {list(layers)}",
        )
    return nested


def _only_context(o: Options, count: int) -> tuple[list[bool], bool]:
    """Whether each level's pixels attend to the text alone, and the middle's."""
    value = o.get("only_cross_attention", False)
    levels = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(levels) != count or not all(isinstance(level, bool) for level in levels):
        raise o.unsupported("only_cross_attention", value, f"true or false, or {count} of them")
    return levels, o.flag("mid_block_only_cross_attention", value is True)


def _added(o: Options) -> tuple[int, int]:
    """The width of what is added to the time, and of the sinusoids in it."""
    if o.get("addition_embed_type") is None:
        o.pass_over("projection_class_embeddings_input_dim", "addition_time_embed_dim")
        return 0, 0
    time_width = o.number("addition_time_embed_dim", 256, low=2)
    return o.number("projection_class_embeddings_input_dim", 2816), time_width


def _attending(level: Level, block_type: str) -> Level:
    return level if block_type.startswith("Cross") else replace(level, depths=(0,) * len(level.depths))
