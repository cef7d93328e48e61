"""What a network is fed and what it puts out, against the clean sample x₀ that samplers work with.

Samplers hold a state x = x₀ + σ·ε. The *sample* of a model family is that state over a norm:

| form | sample | norm |
|---|---|---|
| `vp`: DDPM, Stable Diffusion | √ᾱ·x₀ + √(1 − ᾱ)·ε, σ² = (1 − ᾱ)/ᾱ | √(1 + σ²) |
| `ve`: Karras et al. | x₀ + σ·ε | 1 |
| `flow`: rectified flow | (1 − s)·x₀ + s·ε, σ = s/(1 − s) | 1 + σ |
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError

Array = NDArray[np.floating[Any]]

# σ -> what a state is divided by to become the sample.
FORMS: dict[str, Callable[[float], float]] = {
    "vp": lambda sigma: math.sqrt(1 + sigma * sigma),
    "ve": lambda sigma: 1.0,
    "flow": lambda sigma: 1 + sigma,
}

TYPES = ("epsilon", "v_prediction", "sample", "flow_prediction")


@dataclass(frozen=True)
class Prediction:
    """How a raw model output is read.

    Attributes:
        type: the config's `prediction_type`: `epsilon`, `v_prediction`, `sample` or `flow_prediction`.
        form: of the network's input, a key of `FORMS`; with `sigma_data` it does not count.
        sigma_data: the data's deviation in the preconditioning of Karras et al.; None for networks without it.
        reversed: of `flow_prediction`, whether the network predicts x₀ − ε, not ε − x₀ (Mochi).
        keeps_variance: the output has variance channels behind the predicted ones, which `denoised` hands on for the
            solver; else they are left out.

    Raises:
        InputError: an unknown type, or one that has no meaning with `sigma_data`.
    """

    type: str = "epsilon"
    form: str = "vp"
    sigma_data: float | None = None
    reversed: bool = False
    keeps_variance: bool = False

    def __post_init__(self) -> None:
        known = TYPES if self.sigma_data is None else TYPES[:2]
        if self.type not in known:
            raise InputError(
                f"scheduler config, prediction_type: expected one of {', '.join(known)}, got {self.type!r}"
            )

    def input(self, x: Array, sigma: float) -> Array:
        """The network's input: the state with the variance that the network was trained on.

        Args:
            x: state x₀ + σ·ε, (b, c, …).
            sigma: its noise level.
        """
        return x / self._norm(sigma)

    def denoised(self, output: Array, x: Array, sigma: float) -> Array:
        """x₀ as the output tells it.

        Args:
            output: raw, (b, c, …), or (b, 2c, …) with variance channels behind.
            x: the state, (b, c, …), whose `input` the network was given.
            sigma: its noise level, > 0.

        Returns:
            (b, c, …); with `keeps_variance` the variance channels behind, as they came.
        """
        channels = x.shape[1] if x.ndim > 1 else 0
        learned = x.ndim > 1 and output.shape[1] == 2 * channels
        skip, out = self._weights(sigma)
        predicted = output[:, :channels] if learned else output
        x0 = predicted if self.type == "sample" else skip * x + out * predicted
        if self.keeps_variance and learned:
            return np.concatenate([x0, output[:, channels:]], axis=1)
        return x0

    def output(self, denoised: Array, x: Array, sigma: float) -> Array:
        """The raw output that says `denoised`: the inverse of `denoised`, variance channels left out."""
        skip, out = self._weights(sigma)
        return denoised if self.type == "sample" else (denoised - skip * x) / out

    def _norm(self, sigma: float) -> float:
        if self.sigma_data is not None:
            return math.hypot(sigma, self.sigma_data)  # 1/c_in
        return FORMS[self.form](sigma)

    def _weights(self, sigma: float) -> tuple[float, float]:
        """What x and the output are multiplied with and summed to x₀."""
        norm = self._norm(sigma)
        if self.sigma_data is not None:
            # c_skip and c_out of arXiv:2206.00364 table 1; v has the other sign, as in diffusers.
            c_out = sigma * self.sigma_data / norm
            return (self.sigma_data / norm) ** 2, c_out if self.type == "epsilon" else -c_out
        if self.type == "epsilon":
            return 1.0, -sigma  # x₀ = x − σ·ε, arXiv:2006.11239 eq. 9
        if self.type == "v_prediction":
            return norm**-2, -sigma / norm  # x₀ = α·sample − σ_vp·v, arXiv:2202.00512 appendix D
        if self.type == "flow_prediction":
            s = sigma / (1 + sigma)
            return 1 / norm, s if self.reversed else -s  # x₀ = sample − s·(ε − x₀), arXiv:2210.02747
        return 0.0, 1.0
