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
    for at in schedule:
        denoised = denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        if at.index % 2 == 0:
            begin, begin_sigma = x, at.sigma
            slope = (x - denoised) / at.sigma  # dx/dσ, eq. 3
            x = denoised + (at.sigma_next / at.sigma) * (x - denoised)
        else:
            x = begin + (at.sigma - begin_sigma) * (slope + (x - denoised) / at.sigma) / 2
        yield Step(at, x, denoised)
