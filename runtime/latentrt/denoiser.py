"""UNet and guidance: the only place that knows what the network predicts."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import ModelError
from latentrt.session import Session

Array = npt.NDArray[Any]

# (model output, x, sigma) -> denoised. x = x0 + sigma * noise; alpha = 1 / sqrt(1 + sigma^2) in the papers' terms.
_PREDICTIONS: dict[str, Callable[[Array, Array, float], Array]] = {
    # DDPM: x0 = x - sigma * eps, arXiv:2006.11239
    "epsilon": lambda output, x, sigma: x - sigma * output,
    # v = alpha * eps - sigma' * x0, arXiv:2202.00512 appendix D; with sigma' = sigma * alpha
    "v_prediction": lambda output, x, sigma: x / (1 + sigma**2) - output * (sigma / math.sqrt(1 + sigma**2)),
    "sample": lambda output, x, sigma: output,
}


class Denoiser:
    """Maps (x, sigma, timestep) to denoised latents.

    Args:
        unet: gives the session, asked for at each step, so that another run in between may have closed it; it has
            the inputs `sample`, `timestep`, `encoder_hidden_states` and the output `out_sample`.
        prompt: conditioning (b, s, d) of the prompt.
        negative: conditioning (b, s, d) of the negative prompt; None where guidance is off.
        guidance_scale: how far to go from the negative to the prompt's prediction.
        prediction_type: "epsilon", "v_prediction" or "sample".

    Raises:
        ModelError: the prediction type is none of these.
    """

    def __init__(
        self,
        unet: Callable[[], Session],
        prompt: Array,
        negative: Array | None,
        guidance_scale: float,
        prediction_type: str,
    ) -> None:
        if prediction_type not in _PREDICTIONS:
            raise ModelError(
                f"scheduler_config.json: prediction_type: expected one of {', '.join(_PREDICTIONS)}, "
                f"got {prediction_type}"
            )
        self._unet = unet
        self._prediction = _PREDICTIONS[prediction_type]
        self._guidance_scale = guidance_scale
        self._guided = negative is not None
        self._context = prompt if negative is None else np.concatenate([negative, prompt])

    def __call__(self, x: Array, sigma: float, timestep: float) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise. Both halves of the guidance go through in one call."""
        sample = x / math.sqrt(1 + sigma**2)  # what the network was trained on has unit variance
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
        return self._prediction(output, x, sigma).astype(np.float32, copy=False)
