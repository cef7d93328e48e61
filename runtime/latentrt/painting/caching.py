"""Evaluations that are not made: what the network would say is extrapolated from what it said before.

In x = x₀ + σ·ε a network's guess of ε changes smoothly along a run, so that between two evaluations it is nearly linear
in u = log(σ + ½): in log σ while there is much noise, and in σ where there is little left. What is extrapolated is the
guided guess.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import SettingError
from latentrt.painting.request import Request
from latentrt.painting.sampling import noise_options
from latentrt.samplers.step import Denoise
from latentrt.schedule import Evaluation

Array = npt.NDArray[Any]

LEAST = 4  # evaluations of a run: two to begin with, one between, and the last
# Samplers that ask once a step, in order, along the ODE: the guess of ε is smooth. Each of these was measured,
# or is one that was but for a coefficient.
_SMOOTH = frozenset({"ddim", "deis", "dpmpp_2m", "dpmpp_2s", "euler", "pndm", "unipc", "unipc_bh2"})
# Likewise with fresh noise in each step, which is in ε: of x₀ alone the guess is smooth.
_NOISY = frozenset({"dpmpp_2m_sde", "dpmpp_2m_sde_heun", "euler_ancestral"})


def check_cached(request: Request) -> None:
    """Refuse to leave out evaluations where that does not hold.

    Raises:
        SettingError: of this sampler, or of so few steps, none can be left out.
    """
    if request.fast.cache == 1:
        return
    key = request.sampler.key
    if key not in _SMOOTH | _NOISY:
        takers = ", ".join(sorted(_SMOOTH | _NOISY))
        raise SettingError(
            "fast",
            f"cache={request.fast.cache:g}: with {key} no evaluation is left out: it asks more than once a step, is "
            "made for a few steps, or was not found to be nearer the exact picture than in so many plain steps; "
            f"expected no cache, or one of these samplers: {takers}",
        )
    if _count(request) < LEAST:
        raise SettingError(
            "fast",
            f"cache={request.fast.cache:g} of {request.evaluated} steps leaves {_count(request)} evaluations, and "
            f"{LEAST} are needed; expected a smaller cache, or {math.ceil(LEAST * request.fast.cache)} steps or more",
        )


def cached(denoise: Denoise, request: Request) -> Denoise:
    """The denoiser of a batch as the recipe has it."""
    if request.fast.cache == 1:
        return denoise
    return Cache(denoise, computed(request), clean=_adds_noise(request))


def computed(request: Request) -> tuple[int, ...]:
    """Which evaluations of a run are made: the first two and the last, and others evenly over u."""
    evaluations = request.evaluated
    if request.fast.cache == 1:
        return tuple(range(evaluations))
    u = np.log(request.schedule.sigmas[:evaluations] + 0.5)
    count, chosen = _count(request), [0]
    for number, wanted in enumerate(np.linspace(u[1], u[-1], count - 1), 1):
        nearest = int(np.abs(u - wanted).argmin())
        chosen.append(min(max(nearest, chosen[-1] + 1), evaluations - count + number))
    return tuple(chosen)


def _adds_noise(request: Request) -> bool:
    """Whether the sampler draws fresh noise on its way."""
    sampler = request.sampler
    options = noise_options(request.program, sampler, request.settings)
    eta = sampler.key == "ddim" and options.get("eta")  # which others have that draw nothing
    return sampler.key in _NOISY or sampler.follows or bool(eta or options.get("s_churn"))


def _count(request: Request) -> int:
    """How many evaluations the recipe leaves."""
    return int(request.evaluated / request.fast.cache + 1e-9)  # of 33 and 1.1 it is 30


@dataclass(eq=False)
class Cache:
    """A denoiser over a denoiser that asks it in some evaluations, and extrapolates from the last two in the others.

    Of one batch and one pass: it remembers what it was told, so that a solver must ask once in each step, in order.

    Attributes:
        denoise: the network with its guidance.
        computed: the evaluations in which it is asked.
        clean: extrapolate the guess of x₀, which holds where fresh noise is added in each step; else that of ε.
    """

    denoise: Denoise
    computed: Sequence[int]
    clean: bool = False
    _told: list[tuple[float, Array]] = field(default_factory=list)  # u and guess, of the last two

    def __call__(self, x: Array, at: Evaluation) -> Array:
        """Denoise x, float32 (b, c, h, w) = x0 + sigma * noise, or tell what that would most likely give."""
        u = math.log(at.sigma + 0.5)
        if at.index in self.computed:
            denoised = self.denoise(x, at)
            guess = denoised if self.clean else (x - denoised) / at.sigma
            self._told = [*self._told[-1:], (u, guess)]
            return denoised
        (before, older), (last, newer) = self._told
        # Equal timesteps make a step of length 0, across which there is no slope.
        ahead = 0.0 if last == before else (u - last) / (last - before)
        guess = newer + np.float32(ahead) * (newer - older)
        denoised = guess if self.clean else x - at.sigma * guess
        return denoised.astype(np.float32, copy=False)
