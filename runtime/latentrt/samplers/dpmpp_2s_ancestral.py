"""DPM-Solver++ 2S with fresh noise at every step; k-diffusion's `sample_dpmpp_2s_ancestral`."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, draw
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
    for i, timestep in enumerate(schedule.timesteps.tolist()):
        sigma, sigma_next = float(schedule.sigmas[i]), float(schedule.sigmas[i + 1])
        denoised = denoise(x, sigma, timestep)
        if i % 2 == 0:
            begin, begin_sigma = x, sigma
            x = denoised + (sigma_next / sigma) * (x - denoised)
        else:
            # σ_up² + σ_down² = σ'², σ_up as in DDIM eq. 16 with η = 1
            up = sigma_next * math.sqrt(max(1 - (sigma_next / begin_sigma) ** 2, 0.0))
            down = sigma_next**2 / begin_sigma
            x = denoised + (down / begin_sigma) * (begin - denoised)
            x = x + up * draw(rng, x)
        yield Step(i, sigma, timestep, x, denoised)
