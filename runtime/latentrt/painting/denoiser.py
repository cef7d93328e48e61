"""UNet and guidance, which together denoise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.painting.guidance import Guidance
from latentrt.schedule import Evaluation
from latentrt.schedule.prediction import Prediction

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Maps a state and where it is asked to denoised latents, for one batch of a run.

    Attributes:
        unet: runs the network: `sample`, `timestep` and `encoder_hidden_states` to `out_sample`.
        prompt: conditioning (b, s, d) of the prompt.
        negative: conditioning (b, s, d) of the negative prompt; None where no evaluation is guided.
        guidance: how far to go from the negative to the prompt's prediction in each evaluation.
        prediction: what the network is fed, and how its output is read.
        channels: (b, …, h, w) that an inpainting UNet takes behind those of x; None for others.
    """

    unet: Callable[[Mapping[str, Array]], Mapping[str, Array]]
    prompt: Array
    negative: Array | None
    guidance: Guidance
    prediction: Prediction
    channels: Array | None = None

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. Both halves of the guidance go through in one call."""
        scale = self.guidance.scales[at.index]
        sample = self.prediction.input(x, at.sigma)
        if self.channels is not None:
            sample = np.concatenate([sample, self.channels], axis=1)
        if self.negative is None or scale <= 1:
            output = self._run(sample, at.timestep, self.prompt)
        else:
            both = np.concatenate([self.negative, self.prompt])
            output = self._run(np.concatenate([sample, sample]), at.timestep, both)
            negative, positive = np.split(output, 2)
            output = self.guidance.guided(negative, positive, scale)
        return self.prediction.denoised(output, x, at.sigma).astype(np.float32, copy=False)

    def _run(self, sample: Array, timestep: float, context: Array) -> Array:
        feeds = {
            "sample": sample,
            "timestep": np.asarray(timestep, np.float32),
            "encoder_hidden_states": context,
        }
        return self.unet(feeds)["out_sample"]
