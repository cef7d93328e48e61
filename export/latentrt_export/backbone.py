"""The U that the denoising networks share: residual blocks down, in the middle and up, joined by skip connections.

What the pixels of a level attend to is each network's own matter and is handed in as a function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from latentrt_export.emitter import Emitter
from latentrt_export.layers import conv, group_norm, linear, resnet, silu, upsample
from latentrt_export.options import Options

MAX_PERIOD = 10000.0  # of the sinusoidal embedding


@dataclass(frozen=True)
class Level:
    """What the blocks of one resolution share. `depth`: blocks of attention in a row."""

    channels: int
    layers: int
    heads: int
    depth: int
    attends: bool


# (x, module's name, its level) → x, both (b, channels, h, w)
Attend = Callable[[str, str, Level], str]


@dataclass(frozen=True)
class Backbone:
    """The settings of one network but for its attention."""

    down: list[Level]
    up: list[Level]
    in_channels: int
    out_channels: int
    groups: int
    eps: float
    downsample_padding: int
    mid_scale: float
    temb_width: int
    flip: bool
    freq_shift: float

    @classmethod
    def read(cls, o: Options, down: list[Level], up: list[Level], channels: int) -> "Backbone":
        """From config.json, whose levels are read already. `channels` of the sample: the class's default."""
        width = 4 * down[0].channels
        return cls(
            down=down,
            up=up,
            in_channels=o.number("in_channels", channels),
            out_channels=o.number("out_channels", channels),
            groups=o.number("norm_num_groups", 32),
            eps=float(o.get("norm_eps", 1e-5)),
            downsample_padding=int(o.get("downsample_padding", 1)),
            mid_scale=float(o.get("mid_block_scale_factor", 1)),
            temb_width=width if o.get("time_embedding_dim", None) is None else o.number("time_embedding_dim"),
            flip=bool(o.get("flip_sin_to_cos", True)),
            freq_shift=float(o.get("freq_shift", 0)),
        )

    def emit(self, e: Emitter, x: str, timestep: str, attend: Attend) -> str:
        """(b, in_channels, h, w) and () → (b, out_channels, h, w)."""
        width = self.down[0].channels
        temb = self._time_embedding(e, timestep, width)
        x = conv(e, x, "conv_in", self.in_channels, width)
        skips = [(x, width)]
        for index, level in enumerate(self.down):
            with e.scope(f"down_blocks.{index}"):
                for layer in range(level.layers):
                    x = self._resnet(e, x, f"resnets.{layer}", width, level.channels, temb)
                    width = level.channels
                    if level.attends:
                        x = attend(x, f"attentions.{layer}", level)
                    skips.append((x, width))
                if index < len(self.down) - 1:
                    # diffusers pads by hand, at the right and the bottom, where the convolution does not.
                    pads = (0, 1) if self.downsample_padding == 0 else (self.downsample_padding,) * 2
                    x = conv(e, x, "downsamplers.0.conv", width, width, stride=2, pads=pads)
                    skips.append((x, width))
        with e.scope("mid_block"):
            x = self._resnet(e, x, "resnets.0", width, width, temb, self.mid_scale)
            x = attend(x, "attentions.0", self.down[-1])
            x = self._resnet(e, x, "resnets.1", width, width, temb, self.mid_scale)
        for index, level in enumerate(self.up):
            with e.scope(f"up_blocks.{index}"):
                for layer in range(level.layers + 1):
                    skip, skip_width = skips.pop()
                    joined = e.op("Concat", x, skip, axis=1)
                    x = self._resnet(e, joined, f"resnets.{layer}", width + skip_width, level.channels, temb)
                    width = level.channels
                    if level.attends:
                        x = attend(x, f"attentions.{layer}", level)
                if index < len(self.up) - 1:
                    x = upsample(e, x, "upsamplers.0", width, like=skips[-1][0])
        x = silu(e, group_norm(e, x, "conv_norm_out", width, self.groups, self.eps))
        return conv(e, x, "conv_out", width, self.out_channels)

    def _time_embedding(self, e: Emitter, timestep: str, width: int) -> str:
        """() → SiLU of the embedded time, (1, temb_width): one row, since all samples share the timestep."""
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

    def _resnet(
        self, e: Emitter, x: str, name: str, n_in: int, n_out: int, temb: str, scale: float = 1.0
    ) -> str:
        """One ResnetBlock2D with the network's own norm."""
        return resnet(e, x, name, n_in, n_out, self.groups, self.eps, temb, self.temb_width, scale)
