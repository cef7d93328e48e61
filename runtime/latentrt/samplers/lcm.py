"""Latent consistency models: jump to x₀, add noise, jump again; arXiv:2310.04378."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Clip, Denoise, Latents, Step, draw
from latentrt.schedule import Schedule

_SIGMA_DATA = 0.5  # of the boundary condition, with which every such model was distilled


def lcm(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    timestep_scaling: float = 10.0,
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Take the consistency function's word for x₀, and bring it to the next σ with fresh noise.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `LCMScheduler`, which ends at σ = 0.
        rng: drawn from in every step but the last.
        timestep_scaling: how fast the consistency function leaves its boundary condition, f(x, 0) = x.
        clip: applied to what is denoised, before the boundary condition.
    """
    for at in schedule:
        denoised = denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        # c_skip and c_out of the paper's eq. 8, of the variance-preserving sample x / √(1 + σ²).
        scaled = at.timestep * timestep_scaling
        norm = math.hypot(scaled, _SIGMA_DATA)
        c_skip, c_out = (_SIGMA_DATA / norm) ** 2, scaled / norm
        x0 = c_out * denoised + (c_skip / math.sqrt(1 + at.sigma * at.sigma)) * x
        x = x0 if at.index == len(schedule) - 1 else x0 + at.sigma_next * draw(rng, x)
        yield Step(at, x, x0)
