"""What a sampler is given and what it yields."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.schedule import Schedule

Latents = NDArray[np.floating[Any]]
Clip = Callable[[Latents], Latents]


class Denoise(Protocol):
    """The network with all that is about it: guidance, prediction type, scaling of its input."""

    def __call__(self, x: Latents, sigma: float, timestep: float, /) -> Latents:
        """Estimate the clean latents x₀ in x.

        Args:
            x: float32 (b, c, h, w), x₀ + σ·ε.
            sigma: the noise level of x, > 0; `ZERO_SNR_SIGMA` stands for infinity.
            timestep: what the network is told, 0 … num_train_timesteps − 1; a fraction with Karras and the like.
        """
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One evaluation of the network, and what came of it.

    Attributes:
        index: 0 … len(schedule) − 1.
        sigma: the noise level at which the network was asked.
        timestep: what it was told.
        x: the state after the step, at `schedule.sigmas[index + 1]`.
        denoised: the clean latents it estimated, clipped where the config asks for it. Good for a preview.
    """

    index: int
    sigma: float
    timestep: float
    x: Latents
    denoised: Latents


class Solver(Protocol):
    """A pure generator function over a denoiser and a schedule; it holds no state between runs.

    Solvers take further options by keyword.
    """

    def __call__(
        self, denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None
    ) -> Iterator[Step]:
        """Run from x at `schedule.sigmas[0]`, and yield every step."""
        ...


def draw(rng: NoiseSource | None, x: Latents) -> Latents:
    """Draw unit noise like x.

    Raises:
        InputError: there is nothing to draw it from.
    """
    if rng is None:
        raise InputError("rng: this sampler adds noise at every step; expected a noise source, got None")
    return rng.randn(x.shape).astype(x.dtype, copy=False)


def ancestral_noise(sigma: float, sigma_next: float) -> float:
    """σ_up: how much of σ' is fresh noise in an ancestral step, DDIM eq. 16 at η = 1 in sigma space.

    The step itself ends at σ_down, σ_up² + σ_down² = σ'².
    """
    return sigma_next * math.sqrt(max(1 - (sigma_next / sigma) ** 2, 0.0))
