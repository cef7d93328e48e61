"""Euler's method with fresh noise at every step; k-diffusion's `sample_euler_ancestral`."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, draw
from latentrt.schedule import Schedule


def euler_ancestral(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step below the next sigma, then add noise up to it, so that with η = 1 the marginals are those of DDPM.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerAncestralDiscreteScheduler`, or any other.
        rng: drawn from once a step, where eta > 0; also in the last, where it counts nothing: the stream goes on as in
            diffusers.
        eta: how much of the noise is fresh: 0 none, a step of the ODE; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    for at in schedule:
        denoised = denoise(x, at)
        down, up = ancestral_step(at.sigma, at.sigma_next, eta)
        x = denoised + (down / at.sigma) * (x - denoised)  # Euler's step to σ_down
        if eta > 0:
            x = x + (s_noise * up) * draw(rng, x)
        yield Step(at, x, denoised)
