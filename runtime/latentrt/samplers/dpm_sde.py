"""DPM++ SDE: two evaluations a step, along a Brownian path; k-diffusion's `sample_dpmpp_sde`."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.noise.brownian import BrownianPath
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_noise
from latentrt.schedule import Schedule

# (σ, σ') -> the path's increment between them over √|σ − σ'|, (b, c, h, w).
Path = Callable[[float, float], Latents]


def dpm_sde(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    noise_sampler_seed: int | Sequence[int] | None = None,
    s_noise: float = 1.0,
    path: Path | None = None,
) -> Iterator[Step]:
    """Step to the middle (in log σ), then over the whole with what is denoised there; ancestral noise each time.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DPMSolverSDEScheduler`: every second sigma is a middle, the last is 0.
        rng: drawn from once, for the seeds of the path.
        noise_sampler_seed: the seed of one path for the whole batch, or a list of seeds, a path for each picture; None:
            seeds are drawn from `rng`.
        s_noise: how much of the noise is added.
        path: to follow instead of one of our own.
    """
    follow = path if path is not None else _path(noise_sampler_seed, rng, x)
    begin, begin_sigma = x, 0.0
    for at in schedule:
        denoised = denoise(x, at)
        if at.index % 2 == 0:
            begin, begin_sigma = x, at.sigma
        # From the step's beginning to its middle, or to its end. σ_up² + σ_down² = σ'², as in DDIM eq. 16 at η = 1.
        up = ancestral_noise(begin_sigma, at.sigma_next)
        down = math.sqrt(max(at.sigma_next**2 - up**2, 0.0))
        x = denoised + (down / begin_sigma) * (begin - denoised)
        if at.sigma_next > 0:
            noise = np.asarray(follow(begin_sigma, at.sigma_next)).astype(x.dtype, copy=False)
            x = x + (s_noise * up) * noise
        yield Step(at, x, denoised)


def _path(seed: int | Sequence[int] | None, rng: NoiseSource | None, x: Latents) -> Path:
    if isinstance(seed, int):
        whole = BrownianPath([seed], x.shape)
        return lambda sigma, sigma_next: whole(sigma, sigma_next)[0]
    if seed is not None:
        if len(seed) != len(x):
            raise InputError(
                f"noise_sampler_seed: {len(seed)} seeds for a batch of {len(x)}; expected one each"
            )
        return BrownianPath(seed, x.shape[1:])
    if rng is None:
        raise InputError("rng: this sampler adds noise at every step; expected a noise source, got None")
    return BrownianPath.drawn(rng, x.shape)
