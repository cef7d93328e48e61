"""Heun's method on the probability flow ODE, arXiv:2206.00364 algorithm 1; k-diffusion's `sample_heun`."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Clip, Denoise, Latents, Step
from latentrt.schedule import Schedule


def heun(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Step as Euler does, evaluate there, and step again along the mean of both slopes.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `HeunDiscreteScheduler`: evaluations by twos, but for the last.
        rng: not drawn from.
        clip: applied to what is denoised.
    """
    begin, slope, begin_sigma = x, x, 0.0
    for i, timestep in enumerate(schedule.timesteps.tolist()):
        sigma, sigma_next = float(schedule.sigmas[i]), float(schedule.sigmas[i + 1])
        denoised = denoise(x, sigma, timestep)
        if clip is not None:
            denoised = clip(denoised)
        if i % 2 == 0:
            begin, begin_sigma = x, sigma
            slope = (x - denoised) / sigma  # dx/dσ, eq. 3
            x = denoised + (sigma_next / sigma) * (x - denoised)
        else:
            x = begin + (sigma - begin_sigma) * (slope + (x - denoised) / sigma) / 2
        yield Step(i, sigma, timestep, x, denoised)
