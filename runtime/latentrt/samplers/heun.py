"""Heun's method on the probability flow ODE, arXiv:2206.00364 algorithm 1; k-diffusion's `sample_heun`."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.churn import Churn
from latentrt.samplers.step import Clip, Denoise, Latents, Step
from latentrt.schedule import Schedule


def heun(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    clip: Clip | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step as Euler does, evaluate there, and step again along the mean of both slopes.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `HeunDiscreteScheduler`: evaluations by twos, but for the last.
        rng: drawn from once a step where there is churn.
        clip: applied to what is denoised.
        s_churn: see `Churn`, as the rest. What the network is told at the raised σ, the schedule tells.
        s_tmin: likewise.
        s_tmax: likewise.
        s_noise: likewise.
    """
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    begin, slope, begin_sigma = x, x, 0.0
    for at in schedule:
        begins = at.index % 2 == 0
        if begins:
            x, begin_sigma = churn.raised(x, at.sigma, schedule, rng)
        denoised = denoise(x, schedule.evaluation(at, begin_sigma) if begins else at)
        if clip is not None:
            denoised = clip(denoised)
        if begins:
            begin = x
            slope = (x - denoised) / begin_sigma  # dx/dσ, eq. 3
            x = denoised + (at.sigma_next / begin_sigma) * (x - denoised)
        else:
            x = begin + (at.sigma - begin_sigma) * (slope + (x - denoised) / at.sigma) / 2
        yield Step(at, x, denoised)
