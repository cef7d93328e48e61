"""DDIM with CFG++, as AUTOMATIC1111 has it; arXiv:2406.08070."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, denoise_apart, draw
from latentrt.schedule import Schedule, reinterpret

_MOST_GUIDANCE = 12.5


def ddim_cfg_pp(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    eta: float = 0.0,
) -> Iterator[Step]:
    """Go to the guided x₀ and back along the noise of the negative prompt, guided by a scale of 0 to 12.5 for 0 to 1.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DDIMScheduler`, or any other.
        rng: drawn from once a step, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
    """
    for at, stop in zip(schedule, schedule.stops.tolist(), strict=True):
        guided, unguided = denoise_apart(denoise, x, at)
        denoised = unguided + (guided - unguided) / _MOST_GUIDANCE
        down, up = ancestral_step(at.sigma, stop, eta)
        x = denoised + (down / at.sigma) * (x - unguided)
        if eta > 0:
            x = x + up * draw(rng, x)
        x = reinterpret(x, stop, at.sigma_next)
        yield Step(at, x, denoised)
