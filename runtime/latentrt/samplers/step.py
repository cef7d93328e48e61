"""What a sampler is given and what it yields."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.schedule import Evaluation, Schedule

Latents = NDArray[np.floating[Any]]
Clip = Callable[[Latents], Latents]


class Denoise(Protocol):
    """The network with all that is about it: guidance, prediction type, scaling of its input."""

    def __call__(self, x: Latents, at: Evaluation, /) -> Latents:
        """Estimate the clean latents x₀ in x. It depends on nothing else: solvers may ask in any order, or twice.

        Args:
            x: float32 (b, c, h, w), x₀ + σ·ε.
            at: where it is asked, with σ and the timestep.
        """
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One evaluation of the network, and what came of it.

    Attributes:
        at: where the network was asked.
        x: the state after the step, at `at.sigma_next`.
        denoised: the clean latents it estimated, clipped where the config asks for it. Good for a preview.
    """

    at: Evaluation
    x: Latents
    denoised: Latents

    @property
    def index(self) -> int:
        """0 … len(schedule) − 1."""
        return self.at.index

    @property
    def sigma(self) -> float:
        """The noise level at which the network was asked."""
        return self.at.sigma

    @property
    def timestep(self) -> float:
        """What it was told."""
        return self.at.timestep


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
