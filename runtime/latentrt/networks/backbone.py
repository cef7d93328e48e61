"""The U that the denoising networks share: residual blocks down, in the middle and up, joined by skip connections.

It is a flat list of blocks: each on the way down makes one skip connection, each on the way up takes one. So the i-th
skip connection is that of the original code's `input_blocks.i`, and what a variant adds to or takes from them is list
work.
What the pixels of a block attend to is each network's own matter and is handed in as a function.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from latentrt.networks.emitter import Emitter
from latentrt.networks.layers import (
    channels_first,
    conv,
    from_channels_first,
    group_norm,
    join,
    linear,
    resnet,
    silu,
    upsample,
)
from latentrt.networks.options import Options

MAX_PERIOD = 10000.0  # of the sinusoidal embedding
MAX_BLOCKS = 10_000  # residual ones, and those of attention; SDXL has 87


@dataclass(frozen=True)
class Level:
    """What the blocks of one resolution share.

    Attributes:
        channels: of each.
        depths: for each residual block, the blocks of attention in a row behind it, 0 for none.
        heads: of attention.
        only_context: pixels never attend to pixels: the first attention of each such block is to the text, too.
    """

    channels: int
    depths: tuple[int, ...]
    heads: int
    only_context: bool = False


@dataclass(frozen=True)
class Block:
    """One station of the U.

    Attributes:
        scope: the module that it belongs to: "down_blocks.0".
        layer: which residual block of that module; None where it has none, and only changes the resolution.
        n_in: channels that come in, without those of a skip connection.
        n_out: channels that go out.
        skip: channels of the skip connection that it takes.
        heads: of the attention behind the residual block.
        depth: blocks of attention in a row, 0 for none.
        only_context: see `Level`.
        scale: what the residual block's output is divided by.
        resample: what it does to the resolution in the end.
    """

    scope: str
    layer: int | None
    n_in: int
    n_out: int
    skip: int = 0
    heads: int = 0
    depth: int = 0
    only_context: bool = False
    scale: float = 1.0
    resample: Literal["down", "up"] | None = None


# (x, module's name, its block) → x, both (b, channels, h, w)
Attend: TypeAlias = Callable[[str, str, Block], str]


@dataclass(frozen=True)
class Backbone:
    """The blocks of one network, and what they share.

    Attributes:
        width: channels behind the first convolution.
        down: each makes a skip connection, as that convolution does.
        middle: none where the network has no middle.
        up: each takes one, the last made first.
    """

    width: int
    down: tuple[Block, ...]
    middle: tuple[Block, ...]
    up: tuple[Block, ...]
    in_channels: int
    out_channels: int
    groups: int
    eps: float
    downsample_padding: int
    temb_width: int
    flip: bool
    freq_shift: float

    @classmethod
    def read(
        cls, o: Options, down: Sequence[Level], up: Sequence[Level], middle: Level | None, channels: int
    ) -> "Backbone":
        """From config.json, whose levels are read already.

        Args:
            o: the rest of it.
            down: the levels from the top.
            up: from the bottom; each has one residual block more than its like on the way down.
            middle: one residual block, and another behind each with attention; None: there is no middle.
            channels: of the sample; the class's default.
        """
        if sum(depth + 1 for level in (*down, *up) for depth in level.depths) > MAX_BLOCKS:
            raise o.unsupported(
                "layers_per_block", o.get("layers_per_block"), f"{MAX_BLOCKS} blocks at most in all"
            )
        mid_scale = o.real("mid_block_scale_factor", 1)
        if mid_scale == 0:
            raise o.unsupported("mid_block_scale_factor", mid_scale, "a number other than 0")
        width = down[0].channels
        blocks, skips = _way_down(down)
        net = cls(
            width=width,
            down=blocks,
            middle=() if middle is None else _middle(middle, mid_scale),
            up=tuple(_way_up(up, blocks[-1].n_out, skips)),
            in_channels=o.number("in_channels", channels),
            out_channels=o.number("out_channels", channels),
            groups=o.number("norm_num_groups", 32),
            eps=o.real("norm_eps", 1e-5, low=0),
            downsample_padding=o.number("downsample_padding", 1, low=0, high=16),
            temb_width=o.number("time_embedding_dim", 4 * width),
            flip=o.flag("flip_sin_to_cos", True),
            freq_shift=o.real("freq_shift", 0),
        )
        normed = {width, *(n for b in (*blocks, *net.middle, *net.up) for n in (b.n_in + b.skip, b.n_out))}
        if uneven := [n for n in sorted(normed) if n % net.groups]:
            raise o.unsupported(
                "norm_num_groups", net.groups, f"a divisor of the {uneven[0]} channels of a norm"
            )
        if width < 2 or net.freq_shift == width // 2:
            expected = f"a number other than {width // 2}, half the first of block_out_channels"
            raise o.unsupported("freq_shift", net.freq_shift, expected)
        return net

    def emit(self, e: Emitter, x: str, temb: str, attend: Attend) -> str:
        """(b, in_channels, h, w) and what `embed` gave, (1 or b, temb_width) → (b, out_channels, h, w)."""
        with e.scope("time_embedding"):
            temb = silu(e, temb)  # what every residual block projects
        x = conv(e, from_channels_first(e, x), "conv_in", self.in_channels, self.width)
        skips = [x]
        for block in self.down:
            x = self._block(e, x, block, temb, attend)
            skips.append(x)
        for block in self.middle:
            x = self._block(e, x, block, temb, attend)
        for block in self.up:
            with e.scope(block.scope):
                joined = join(e, (x, block.n_in), (skips.pop(), block.skip))
            x = self._block(e, joined, block, temb, attend, like=skips[-1] if skips else None)
        width = self.up[-1].n_out
        x = silu(e, group_norm(e, x, "conv_norm_out", width, self.groups, self.eps))
        return channels_first(e, conv(e, x, "conv_out", width, self.out_channels))

    def embed(self, e: Emitter, timestep: str, guidance: str | None = None, guidance_width: int = 0) -> str:
        """The embedded time, a row for each sample or one for all, (1 or b, temb_width).

        Args:
            e: where to.
            timestep: (): all samples share it.
            guidance: embedded, (b, guidance_width), where the network is told how far it is to follow the prompt.
            guidance_width: its width.
        """
        with e.scope("time_proj"):
            waves = self.waves(e, timestep, self.width, axis=0)
            row = e.op("Unsqueeze", waves, e.ints(0))
            if e.is_half:
                row = e.cast(row, e.float_type)
        if guidance is not None:
            with e.scope("time_embedding"):
                row = e.op(
                    "Add", row, linear(e, guidance, "cond_proj", guidance_width, self.width, bias=False)
                )
        return self.embedding(e, row, "time_embedding", self.width)

    def embedding(self, e: Emitter, x: str, name: str, width: int) -> str:
        """(b, width) → (b, temb_width), diffusers' TimestepEmbedding."""
        with e.scope(name):
            h = silu(e, linear(e, x, "linear_1", width, self.temb_width))
            return linear(e, h, "linear_2", self.temb_width, self.temb_width)

    def waves(self, e: Emitter, x: str, width: int, axis: int) -> str:
        """Sinusoids of numbers in float32, `width` of them along the axis: () → (width,), (n, 1) → (n, width)."""
        half = width // 2
        # As torch rounds them: the exponents in float32, then the exponential.
        exponents = np.float32(-math.log(MAX_PERIOD)) * np.arange(half, dtype=np.float32)
        exponents /= np.float32(half - self.freq_shift)
        frequencies = [math.exp(x) for x in exponents]
        angles = e.op("Mul", x, e.floats32(f"{e.path}.frequencies", frequencies))
        waves = [e.op("Sin", angles), e.op("Cos", angles)]
        if self.flip:
            waves.reverse()
        both = e.op("Concat", *waves, axis=axis)
        return e.op("Pad", both, e.ints(*[0] * (2 * axis + 1), 1)) if width % 2 else both

    def _block(
        self, e: Emitter, x: str, block: Block, temb: str, attend: Attend, like: str | None = None
    ) -> str:
        """(b, n_in + skip, h, w) → (b, n_out, h', w'); `like`: whose height and width an upsampling takes."""
        with e.scope(block.scope):
            if block.layer is not None:
                x = resnet(
                    e, x, f"resnets.{block.layer}", block.n_in + block.skip, block.n_out,
                    self.groups, self.eps, temb, self.temb_width, block.scale,
                )  # fmt: skip
            if block.depth:
                x = attend(x, f"attentions.{block.layer}", block)
            if block.resample == "down":
                # diffusers pads by hand, at the right and the bottom, where the convolution does not.
                pads = (0, 1) if self.downsample_padding == 0 else (self.downsample_padding,) * 2
                x = conv(e, x, "downsamplers.0.conv", block.n_out, block.n_out, stride=2, pads=pads)
            elif block.resample == "up":
                x = upsample(e, x, "upsamplers.0", block.n_out, like)
        return x


def _way_down(levels: Sequence[Level]) -> tuple[tuple[Block, ...], list[int]]:
    """The blocks, and the channels of all skip connections, the first convolution's included."""
    blocks: list[Block] = []
    width = levels[0].channels
    skips = [width]
    for index, level in enumerate(levels):
        scope = f"down_blocks.{index}"
        for layer, depth in enumerate(level.depths):
            blocks.append(
                Block(
                    scope, layer, width, level.channels, heads=level.heads, depth=depth,
                    only_context=level.only_context,
                )
            )  # fmt: skip
            width = level.channels
        if index < len(levels) - 1:
            blocks.append(Block(scope, None, width, width, resample="down"))
    return tuple(blocks), skips + [block.n_out for block in blocks]


def _middle(level: Level, scale: float) -> tuple[Block, ...]:
    width = level.channels
    attending = [
        Block(
            "mid_block",
            layer,
            width,
            width,
            heads=level.heads,
            depth=depth,
            only_context=level.only_context,
            scale=scale,
        )
        for layer, depth in enumerate(level.depths)
    ]
    return (*attending, Block("mid_block", len(attending), width, width, scale=scale))


def _way_up(levels: Sequence[Level], width: int, skips: list[int]) -> Iterator[Block]:
    """`width`: channels that come from below."""
    for index, level in enumerate(levels):
        for layer, depth in enumerate(level.depths):
            changes = layer == len(level.depths) - 1 and index < len(levels) - 1
            yield Block(
                f"up_blocks.{index}", layer, width, level.channels, skips.pop(),
                level.heads, depth, level.only_context, resample="up" if changes else None,
            )  # fmt: skip
            width = level.channels
