"""What a sampler is given and what it yields."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.noise import BrownianMotion, NoiseSource
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


@runtime_checkable
class DenoiseApart(Denoise, Protocol):
    """A denoiser that also tells what it would estimate without guidance, which CFG++ steps along."""

    def apart(self, x: Latents, at: Evaluation, /) -> tuple[Latents, Latents]:
        """Estimate x₀ with guidance, as the call does, and by the negative prompt alone, whatever the scale.

        Args:
            x: see the call.
            at: likewise.
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


def denoise_apart(denoise: Denoise, x: Latents, at: Evaluation) -> tuple[Latents, Latents]:
    """x₀ with guidance, and by the negative prompt alone.

    Raises:
        InputError: the denoiser cannot tell them apart.
    """
    if not isinstance(denoise, DenoiseApart):
        raise InputError(
            "sampler: CFG++ steps along what is predicted for the negative prompt; expected a denoiser with a method "
            "`apart`, got one without"
        )
    return denoise.apart(x, at)


def draw(rng: NoiseSource | None, x: Latents) -> Latents:
    """Draw unit noise like x.

    Raises:
        InputError: there is nothing to draw it from.
    """
    if rng is None:
        raise InputError("rng: this sampler adds noise at every step; expected a noise source, got None")
    return rng.randn(x.shape).astype(x.dtype, copy=False)


def increment(path: BrownianMotion | None, rng: NoiseSource | None, x: Latents, at: Evaluation) -> Latents:
    """Unit noise of an SDE's step: the path's increment over it, or without a path the next draw.

    Raises:
        InputError: there is neither.
    """
    if path is None:
        return draw(rng, x)
    return np.asarray(path(at.sigma, at.sigma_next)).astype(x.dtype, copy=False)


def ancestral_noise(sigma: float, sigma_next: float, eta: float = 1.0) -> float:
    """σ_up: how much of σ' is fresh noise in an ancestral step, DDIM eq. 16 in sigma space.

    The step itself ends at σ_down, σ_up² + σ_down² = σ'².
    """
    return ancestral_step(sigma, sigma_next, eta)[1]


def ancestral_step(sigma: float, sigma_next: float, eta: float = 1.0) -> tuple[float, float]:
    """(σ_down, σ_up): where the step itself ends, and the noise from there up to σ'.

    Args:
        sigma: where it begins, > 0.
        sigma_next: where it ends with its noise, at most `sigma`.
        eta: 0 is a step of the ODE, 1 that of DDPM; above it no more noise than σ' is added.
    """
    kept = (sigma_next / sigma) ** 2
    fresh = min(eta**2 * max(1 - kept, 0.0), 1.0)
    # 1 − η² + η²·kept does not cancel where η = 1.
    return sigma_next * math.sqrt(max(1 - eta**2 + eta**2 * kept, 0.0)), sigma_next * math.sqrt(fresh)
