"""DDIM, arXiv:2010.02502."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Clip, Denoise, Latents, Step, draw
from latentrt.schedule import Schedule, reinterpret


def ddim(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    use_clipped_model_output: bool = False,
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Step along the noise that the network sees, towards what it sees beneath it.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DDIMScheduler`, or any other.
        rng: drawn from once a step where eta > 0.
        eta: in [0, 1]; 0 is deterministic, 1 is ancestral (DDPM).
        use_clipped_model_output: step along the noise that lies between x and what is denoised once it is clipped.
        clip: applied to what is denoised; the noise is still that which the network saw, unless that is set.
    """
    for at, stop in zip(schedule, schedule.stops.tolist(), strict=True):
        denoised = denoise(x, at)
        epsilon = (x - denoised) / at.sigma
        if clip is not None:
            denoised = clip(denoised)
        if use_clipped_model_output:
            epsilon = (x - denoised) / at.sigma
        # DDIM eq. 16, with all of its eq. 12 divided by √ᾱ at the stop: σ_up² = η²·σ'²·(σ² − σ'²)/σ²
        up = eta * stop * math.sqrt(max(1 - (stop / at.sigma) ** 2, 0.0))
        x = denoised + math.sqrt(max(stop**2 - up**2, 0.0)) * epsilon  # DDIM eq. 12
        if eta > 0:
            x = x + up * draw(rng, x)
        x = reinterpret(x, stop, at.sigma_next)
        yield Step(at, x, denoised)
