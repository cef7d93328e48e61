"""DPM++ SDE: two evaluations a step, along a Brownian path; k-diffusion's `sample_dpmpp_sde`."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import BrownianMotion, BrownianPath, BrownianTree, NoiseSource, TorchGenerator
from latentrt.noise.torch_cpu import Float64Generator
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_noise
from latentrt.schedule import Schedule


def dpm_sde(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    noise_sampler_seed: int | Sequence[int] | None = None,
    s_noise: float = 1.0,
    eta: float = 1.0,
    path: BrownianMotion | None = None,
) -> Iterator[Step]:
    """Step to the middle (in log σ), then over the whole with what is denoised there; ancestral noise each time.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DPMSolverSDEScheduler`: every second sigma is a middle, the last is 0.
        rng: drawn from once, for the seeds of a path of our own, where nothing else says what to follow.
        noise_sampler_seed: the seed of one torchsde tree over the whole batch, or a list of seeds, a tree for each
            picture, as in diffusers. Without one diffusers makes up a seed, and no run there is like another.
        s_noise: how much of the noise is added.
        eta: how much of the noise is fresh: 0 none, a step of the ODE; 1 as in DDPM.
        path: to follow, whatever else is given.
    """
    follow = path if path is not None else _path(noise_sampler_seed, rng, x, schedule)
    begin, begin_sigma, end_sigma, part = x, 0.0, 0.0, 1.0
    for at in schedule:
        denoised = denoise(x, at)
        if at.index % 2 == 0:
            begin, begin_sigma = x, at.sigma
            end = at.index + 2
            # The last step may have no middle.
            end_sigma, part = (
                (float(schedule.sigmas[end]), 0.5) if end <= len(schedule) else (at.sigma_next, 1.0)
            )
        else:
            part = 1.0
        # From the step's beginning to its middle, or to its end. σ_up² + σ_down² = σ'², as in DDIM eq. 16 at η = 1.
        up = ancestral_noise(begin_sigma, at.sigma_next, eta)
        down = math.sqrt(max(at.sigma_next**2 - up**2, 0.0))
        x = denoised + (down / begin_sigma) * (begin - denoised)
        if at.sigma_next > 0 and up > 0:
            noise = follow.along_log(begin_sigma, end_sigma, part)
            x = x + (s_noise * up) * np.asarray(noise).astype(x.dtype, copy=False)
        yield Step(at, x, denoised)


def _path(
    seed: int | Sequence[int] | None, rng: NoiseSource | None, x: Latents, schedule: Schedule
) -> BrownianMotion:
    if seed is not None:
        return BrownianTree(
            seed, x.shape, *schedule.span, generator=_wide if x.dtype == np.float64 else TorchGenerator
        )
    if rng is None:
        raise InputError("rng: this sampler adds noise at every step; expected a noise source, got None")
    return BrownianPath.drawn(rng, x.shape)


def _wide(seed: int) -> NoiseSource:
    return Float64Generator(TorchGenerator(seed))
