"""UNet and guidance, which together denoise."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.painting.guidance import Guidance
from latentrt.schedule import Evaluation
from latentrt.schedule.prediction import Prediction
from latentrt.text.conditioning import Conditioning

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Maps a state and where it is asked to denoised latents, for one batch of a run.

    Attributes:
        unet: runs the network: `sample`, `timestep` and the conditioning to `out_sample`.
        prompt: what it is told of the prompt, each (b, …).
        negative: of the negative prompt; None where no evaluation is guided.
        guidance: how far to go from the negative to the prompt's prediction in each evaluation.
        prediction: what the network is fed, and how its output is read.
        channels: (b, …, h, w) that a UNet for inpainting or editing takes behind those of x; None for others.
        guidance_width: of the embedded guidance scale that a latent consistency model's UNet is told instead of being
            asked twice; 0 for others.
    """

    unet: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    prompt: Conditioning
    negative: Conditioning | None
    guidance: Guidance
    prediction: Prediction
    channels: Array | None = None
    guidance_width: int = 0

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. All that guidance compares goes through in one call."""
        scale = self.guidance.scales[at.index]
        alone = self.prediction.input(x, at.sigma)
        sample = alone if self.channels is None else np.concatenate([alone, self.channels], axis=1)
        if self.guidance_width:
            told = np.repeat(embedded_guidance(scale, self.guidance_width)[None], len(x), axis=0)
            output = self._run(sample, at.timestep, {**self.prompt, "timestep_cond": told})
        elif self.negative is None or scale <= 1:
            output = self._run(sample, at.timestep, self.prompt)
        else:
            asked, shown = [self.negative, self.prompt], [sample, sample]
            if self.channels is not None and self.guidance.image_scale != 1:
                asked.append(self.negative)
                shown.append(np.concatenate([alone, np.zeros_like(self.channels)], axis=1))
            every = {name: np.concatenate([one[name] for one in asked]) for name in self.prompt}
            output = self._run(np.concatenate(shown), at.timestep, every)
            negative, positive, *blind = np.split(output, len(asked))
            output = self.guidance.guided(negative, positive, scale, *blind)
        return self.prediction.denoised(output, x, at.sigma).astype(np.float32, copy=False)

    def _run(self, sample: Array, timestep: float, conditioning: Conditioning) -> Array:
        feeds = {"sample": sample, "timestep": np.asarray(timestep, np.float32), **conditioning}
        return self.unet(feeds)["out_sample"]


def embedded_guidance(scale: float, width: int) -> Array:
    """Sinusoids of 1000·(w − 1), float32 (width,): arXiv:2310.04378, as in arXiv:2107.00630's code."""
    half = width // 2
    # In float32 as there: angles go to thousands, and what is rounded of them is seen.
    step = np.float32(math.log(10000.0)) / np.float32(half - 1)
    frequencies = np.exp(np.arange(half, dtype=np.float32) * -step)
    angles = np.float32(scale - 1) * np.float32(1000) * frequencies
    return np.pad(np.concatenate([np.sin(angles), np.cos(angles)]), (0, width % 2))
