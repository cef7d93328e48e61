"""Euler's method with CFG++, deterministic; arXiv:2406.08070 algorithm 2."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.euler_ancestral_cfg_pp import euler_ancestral_cfg_pp
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule


def euler_cfg_pp(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """Go to the guided x₀, and back along the noise that the network sees without guidance.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    return euler_ancestral_cfg_pp(denoise, x, schedule, rng, eta=0.0)
