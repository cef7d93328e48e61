"""DPM-Solver-2 in σ, arXiv:2206.00927 algorithm 1 and k-diffusion's `sample_dpm_2`, with or without fresh noise."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_noise, draw
from latentrt.schedule import Schedule


def dpm_2(denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None) -> Iterator[Step]:
    """Evaluate half way in log σ, and step from the beginning along that slope.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2DiscreteScheduler`: evaluations by twos, the second half way; but for the last.
        rng: not drawn from.
    """
    begin, begin_sigma = x, 0.0
    for at in schedule:
        denoised = denoise(x, at)
        if at.index % 2 == 0:
            begin, begin_sigma = x, at.sigma
            x = denoised + (at.sigma_next / at.sigma) * (x - denoised)
        else:
            x = begin + ((at.sigma_next - begin_sigma) / at.sigma) * (x - denoised)
        yield Step(at, x, denoised)


def dpm_2_ancestral(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None
) -> Iterator[Step]:
    """The same to below the next sigma, and noise up to it.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2AncestralDiscreteScheduler`.
        rng: drawn from once a step of two evaluations.
    """
    begin, begin_sigma = x, 0.0
    for at in schedule:
        denoised = denoise(x, at)
        if at.index % 2 == 0:
            begin, begin_sigma = x, at.sigma
            x = denoised + (at.sigma_next / at.sigma) * (x - denoised)
        else:
            up = ancestral_noise(begin_sigma, at.sigma_next)
            down = at.sigma_next**2 / begin_sigma
            x = begin + ((down - begin_sigma) / at.sigma) * (x - denoised)
            x = x + up * draw(rng, x)
        yield Step(at, x, denoised)
