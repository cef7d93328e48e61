"""Euler's method with fresh noise at every step; k-diffusion's `sample_euler_ancestral`."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_noise, draw
from latentrt.schedule import Schedule


def euler_ancestral(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None
) -> Iterator[Step]:
    """Step below the next sigma, then add noise up to it, so that the marginals are those of DDPM.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerAncestralDiscreteScheduler`, or any other.
        rng: drawn from once a step; also in the last, where it counts nothing: the stream goes on as in diffusers.
    """
    for at in schedule:
        denoised = denoise(x, at)
        up = ancestral_noise(at.sigma, at.sigma_next)
        down = math.sqrt(max(at.sigma_next**2 - up**2, 0.0))
        x = denoised + (down / at.sigma) * (x - denoised)  # Euler's step to σ_down
        x = x + up * draw(rng, x)
        yield Step(at, x, denoised)
