"""UNet and guidance, which together denoise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.session import Session
from latentrt.painting.guidance import Guidance
from latentrt.schedule.prediction import Prediction

Array = npt.NDArray[Any]


class Denoiser:
    """Maps (x, sigma, timestep) to denoised latents. One run, whose evaluations it counts.

    Args:
        unet: gives the session, asked for at each step, so that another run in between may have closed it; it has
            the inputs `sample`, `timestep`, `encoder_hidden_states` and the output `out_sample`.
        prompt: conditioning (b, s, d) of the prompt.
        negative: conditioning (b, s, d) of the negative prompt; None where no evaluation is guided.
        guidance: how far to go from the negative to the prompt's prediction in each evaluation.
        prediction: what the network is fed, and how its output is read.
        channels: (b, …, h, w) that an inpainting UNet takes behind those of x; None for others.
    """

    def __init__(
        self,
        unet: Callable[[], Session],
        prompt: Array,
        negative: Array | None,
        guidance: Guidance,
        prediction: Prediction,
        channels: Array | None = None,
    ) -> None:
        self._unet = unet
        self._prediction = prediction
        self._guidance = guidance
        self._prompt = prompt
        self._both = None if negative is None else np.concatenate([negative, prompt])
        self._channels = channels
        self._evaluation = 0

    def __call__(self, x: Array, sigma: float, timestep: float) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. Both halves of the guidance go through in one call."""
        scale = self._guidance.scales[self._evaluation]
        self._evaluation += 1
        sample = self._prediction.input(x, sigma)
        if self._channels is not None:
            sample = np.concatenate([sample, self._channels], axis=1)
        if self._both is None or scale <= 1:
            output = self._run(sample, timestep, self._prompt)
        else:
            output = self._run(np.concatenate([sample, sample]), timestep, self._both)
            negative, positive = np.split(output, 2)
            output = self._guidance.guided(negative, positive, scale)
        return self._prediction.denoised(output, x, sigma).astype(np.float32, copy=False)

    def _run(self, sample: Array, timestep: float, context: Array) -> Array:
        feeds = {
            "sample": sample,
            "timestep": np.asarray(timestep, np.float32),
            "encoder_hidden_states": context,
        }
        return self._unet().run(feeds)["out_sample"]
