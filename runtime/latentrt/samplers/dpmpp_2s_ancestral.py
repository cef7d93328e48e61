"""DPM-Solver++ 2S with fresh noise at every step; k-diffusion's `sample_dpmpp_2s_ancestral`."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_noise, draw
from latentrt.schedule import Schedule


def dpmpp_2s_ancestral(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None
) -> Iterator[Step]:
    """Step to below the next sigma with the x₀ seen half way there, and add noise up to it: arXiv:2211.01095.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2AncestralDiscreteScheduler`: half way in log σ to σ_down = σ'²/σ is σ'.
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
            x = denoised + (down / begin_sigma) * (begin - denoised)
            x = x + up * draw(rng, x)
        yield Step(at, x, denoised)
