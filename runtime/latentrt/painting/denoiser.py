"""UNet and guidance, which together denoise."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import InputError
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
        read_at: timestep -> σ that the output's noise is read by, where that is another than the state's.
    """

    unet: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    prompt: Conditioning
    negative: Conditioning | None
    guidance: Guidance
    prediction: Prediction
    channels: Array | None = None
    guidance_width: int = 0
    read_at: Callable[[float], float] | None = None

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. All that guidance compares goes through in one call,
        unless prompt and negative prompt are of different length.
        """
        scale = self.guidance.scales[at.index]
        alone, sample = self._samples(x, at)
        if self.guidance_width:
            told = np.repeat(embedded_guidance(scale, self.guidance_width)[None], len(x), axis=0)
            output = self._run(sample, at.timestep, {**self.prompt, "timestep_cond": told})
        elif self.negative is None or not self.guidance.guides(scale):
            output = self._run(sample, at.timestep, self.prompt)
        else:
            output, _ = self._guided(self.negative, alone, sample, at.timestep, scale)
        return self._read(output, x, at)

    def apart(self, x: Array, at: Evaluation) -> tuple[Array, Array]:
        """The same, with guidance whatever its scale, and what is denoised by the negative prompt alone.

        Raises:
            InputError: the UNet is not asked what it makes of the negative prompt.
        """
        if self.negative is None:
            raise InputError(
                "sampler: CFG++ steps along what is predicted for the negative prompt, which this model's UNet is not "
                "asked for; expected another sampler"
            )
        alone, sample = self._samples(x, at)
        outputs = self._guided(self.negative, alone, sample, at.timestep, self.guidance.scales[at.index])
        guided, unguided = (self._read(output, x, at) for output in outputs)
        return guided, unguided

    def _samples(self, x: Array, at: Evaluation) -> tuple[Array, Array]:
        """What the network is fed, without the channels behind it and with them."""
        alone = self.prediction.input(x, at.sigma)
        return alone, alone if self.channels is None else np.concatenate([alone, self.channels], axis=1)

    def _guided(
        self, negative: Conditioning, alone: Array, sample: Array, timestep: float, scale: float
    ) -> tuple[Array, Array]:
        """Raw outputs with guidance, and for the negative prompt; `alone` is the sample without its channels."""
        asked, shown = [negative, self.prompt], [sample, sample]
        if self.channels is not None and self.guidance.image_scale != 1:
            asked.append(negative)
            shown.append(np.concatenate([alone, np.zeros_like(self.channels)], axis=1))
        if len({one["encoder_hidden_states"].shape[1] for one in asked}) == 1:
            every = {name: np.concatenate([one[name] for one in asked]) for name in self.prompt}
            outputs = np.split(self._run(np.concatenate(shown), timestep, every), len(asked))
        else:
            outputs = [self._run(*pair) for pair in zip(shown, [timestep] * len(asked), asked, strict=True)]
        unguided, positive, *blind = outputs
        return self.guidance.guided(unguided, positive, scale, *blind), unguided

    def _read(self, output: Array, x: Array, at: Evaluation) -> Array:
        """What is denoised, as the raw output tells it."""
        if self.read_at is None:
            return self.prediction.denoised(output, x, at.sigma).astype(np.float32, copy=False)
        sigma = self.read_at(at.timestep)
        state = x * np.float32(math.sqrt((1 + sigma**2) / (1 + at.sigma**2)))  # of the same input
        noise = (state - self.prediction.denoised(output, state, sigma)) / sigma
        return (x - at.sigma * noise).astype(np.float32, copy=False)

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
