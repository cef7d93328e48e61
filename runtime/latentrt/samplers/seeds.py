"""SEEDS: exponential SDE solvers of two and three stages; arXiv:2305.14267, with x₀ for ε, as ComfyUI has them."""

import math
from collections.abc import Iterator, Sequence

from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import phi
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Evaluation, Schedule


def seeds_2(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step with the x₀ seen half way in log σ; along one path of noise.

    Args:
        denoise: the network, asked twice a step but for one to σ = 0.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of the middles.
        rng: drawn from twice a step, but for one to σ = 0, where there is noise.
        eta: how much of the reverse SDE's noise there is: 0 is the ODE.
        s_noise: the deviation of that noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, (1 / 2,))


def seeds_3(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step with x₀ extrapolated from here and two thirds of the way, found by way of one third.

    Args:
        denoise: the network, asked three times a step but for one to σ = 0.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of what lies between.
        rng: drawn from three times a step, but for one to σ = 0, where there is noise.
        eta: how much of the reverse SDE's noise there is: 0 is the ODE.
        s_noise: the deviation of that noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, (1 / 3, 2 / 3))


def _steps(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    eta: float,
    s_noise: float,
    stages: Sequence[float],
) -> Iterator[Step]:
    """Both; `stages` are where between in log σ x₀ is evaluated."""
    for at in schedule:
        denoised = denoise(x, at)
        x = _step(denoise, x, denoised, at, schedule, rng, eta, s_noise, stages)
        yield Step(at, x, denoised)


def _step(
    denoise: Denoise,
    x: Latents,
    denoised: Latents,
    at: Evaluation,
    schedule: Schedule,
    rng: NoiseSource | None,
    eta: float,
    s_noise: float,
    stages: Sequence[float],
) -> Latents:
    if at.sigma_next == 0:
        return denoised
    h = math.log(at.sigma / at.sigma_next)
    noisy = eta > 0 and s_noise > 0 and h > 0
    noise = 0.0 * x  # of the path from σ on, over the σ that is reached
    reached, begun, newest = x, 0.0, denoised
    for stage, share in enumerate((*stages, 1.0)):
        sigma = at.sigma_next if share == 1 else at.sigma * math.exp(-share * h)
        z = share * (1 + eta) * h
        reached = math.exp(-z) * x - math.expm1(-z) * denoised
        if stage > 0 and h > 0:
            # The slope towards what was seen last: over the whole way with one stage (½ in the middle), else by φ₂.
            weight = -math.expm1(-z) if len(stages) == 1 else z * phi(2, -z) * (share / begun)
            reached = reached + weight * (newest - denoised)
        if noisy:
            step = (share - begun) * h * eta
            noise = math.exp(-step) * noise + math.sqrt(-math.expm1(-2 * step)) * draw(rng, x)
            reached = reached + (sigma * s_noise) * noise
        if share < 1:
            newest, begun = denoise(reached, schedule.evaluation(at, sigma)), share
    return reached
