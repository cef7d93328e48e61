"""UNet and guidance, which together denoise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.prediction import Prediction
from latentrt.session import Session

Array = npt.NDArray[Any]


class Denoiser:
    """Maps (x, sigma, timestep) to denoised latents.

    Args:
        unet: gives the session, asked for at each step, so that another run in between may have closed it; it has
            the inputs `sample`, `timestep`, `encoder_hidden_states` and the output `out_sample`.
        prompt: conditioning (b, s, d) of the prompt.
        negative: conditioning (b, s, d) of the negative prompt; None where guidance is off.
        guidance_scale: how far to go from the negative to the prompt's prediction.
        prediction: what the network is fed, and how its output is read.
    """

    def __init__(
        self,
        unet: Callable[[], Session],
        prompt: Array,
        negative: Array | None,
        guidance_scale: float,
        prediction: Prediction,
    ) -> None:
        self._unet = unet
        self._prediction = prediction
        self._guidance_scale = guidance_scale
        self._guided = negative is not None
        self._context = prompt if negative is None else np.concatenate([negative, prompt])

    def __call__(self, x: Array, sigma: float, timestep: float) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. Both halves of the guidance go through in one call."""
        sample = self._prediction.input(x, sigma)
        output = self._unet().run(
            {
                "sample": np.concatenate([sample, sample]) if self._guided else sample,
                "timestep": np.asarray(timestep, np.float32),
                "encoder_hidden_states": self._context,
            }
        )["out_sample"]
        if self._guided:
            unconditional, conditional = np.split(output, 2)
            # classifier-free guidance, arXiv:2207.12598 eq. 6
            output = unconditional + self._guidance_scale * (conditional - unconditional)
        return self._prediction.denoised(output, x, sigma).astype(np.float32, copy=False)
