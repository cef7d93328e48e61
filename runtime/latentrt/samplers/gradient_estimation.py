"""Gradient estimation: Euler's method along a slope that leans on the one before; arXiv:2306.04848."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, denoise_apart
from latentrt.schedule import Schedule


def gradient_estimation(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    ge_gamma: float = 2.0,
) -> Iterator[Step]:
    """Step along γ·d + (1 − γ)·d₋, of the slopes d here and d₋ before.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
        ge_gamma: γ; 1 is Euler's method.
    """
    return _steps(denoise, x, schedule, ge_gamma, apart=False)


def gradient_estimation_cfg_pp(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    ge_gamma: float = 2.0,
) -> Iterator[Step]:
    """The same with the slopes of the negative prompt, from the guided x₀: CFG++, arXiv:2406.08070.

    Args:
        denoise: the network; asked for both predictions.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
        ge_gamma: γ; 1 is Euler's method with CFG++.
    """
    return _steps(denoise, x, schedule, ge_gamma, apart=True)


def _steps(
    denoise: Denoise, x: Latents, schedule: Schedule, ge_gamma: float, *, apart: bool
) -> Iterator[Step]:
    before: Latents | None = None
    for at in schedule:
        denoised, along = denoise_apart(denoise, x, at) if apart else (denoise(x, at),) * 2
        slope = (x - along) / at.sigma
        x = denoised + at.sigma_next * slope
        if before is not None and at.sigma_next > 0:
            x = x + ((ge_gamma - 1) * (at.sigma_next - at.sigma)) * (slope - before)
        before = slope
        yield Step(at, x, denoised)
