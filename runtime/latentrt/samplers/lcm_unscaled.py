"""Latent consistency models as k-diffusion's samplers take them, in sigma space; arXiv:2310.04378."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule

_SIGMA_DATA = 0.5


def lcm_unscaled(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    s_noise: float = 1.0,
    boundary_scaling: float = 0.0,
) -> Iterator[Step]:
    """Take x₀ as the network sees it, and bring it to the next σ with fresh noise.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from in every step, but for one to σ = 0.
        s_noise: the deviation of that noise.
        boundary_scaling: the timestep scaling of the paper's boundary condition (10), which AUTOMATIC1111 applies to
            the state itself where diffusers takes the variance-preserving sample; 0 is without, as ComfyUI.
    """
    for at in schedule:
        denoised = denoise(x, at)
        if boundary_scaling > 0:
            scaled = at.timestep * boundary_scaling
            norm = math.hypot(scaled, _SIGMA_DATA)
            denoised = (scaled / norm) * denoised + (_SIGMA_DATA / norm) ** 2 * x  # eq. 8
        x = denoised
        if at.sigma_next > 0:
            x = denoised + (at.sigma_next * s_noise) * draw(rng, x)
        yield Step(at, x, denoised)
