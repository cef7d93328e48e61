"""Euler's method with CFG++: to the guided x₀, along the noise of the negative prompt; arXiv:2406.08070."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, denoise_apart, draw
from latentrt.schedule import Schedule


def euler_ancestral_cfg_pp(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step below the next sigma, then add noise up to it: algorithm 2 of the paper, with DDIM's noise.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step, but for one to σ = 0, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    for at in schedule:
        denoised, unguided = denoise_apart(denoise, x, at)
        down, up = ancestral_step(at.sigma, at.sigma_next, eta)
        x = denoised + (down / at.sigma) * (x - unguided)
        if eta > 0 and at.sigma_next > 0:
            x = x + (s_noise * up) * draw(rng, x)
        yield Step(at, x, denoised)
