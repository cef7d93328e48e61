"""DPM-Solver-2 in σ, arXiv:2206.00927 algorithm 1 and k-diffusion's `sample_dpm_2`, with or without fresh noise."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.churn import Churn
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, draw
from latentrt.schedule import Evaluation, Schedule


def dpm_2(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Evaluate half way in log σ, and step from the beginning along that slope.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2DiscreteScheduler`: evaluations by twos, the second half way; but for the last. With churn
            the middle is another, whose timestep the schedule tells, as it does that of the raised σ.
        rng: drawn from once a step where there is churn.
        s_churn: see `Churn`, as the rest.
        s_tmin: likewise.
        s_tmax: likewise.
        s_noise: likewise.
    """
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    begin, begin_sigma, middle = x, 0.0, 0.0
    for at in schedule:
        if at.index % 2 == 0:
            begin, begin_sigma = churn.raised(x, at.sigma, schedule, rng)
            denoised = denoise(begin, schedule.evaluation(at, begin_sigma))
            middle = at.sigma_next
            if begin_sigma != at.sigma and middle > 0:
                middle = math.sqrt(begin_sigma * _end(schedule, at))
            x = denoised + (middle / begin_sigma) * (begin - denoised)
        else:
            denoised = denoise(x, schedule.evaluation(at, middle))
            x = begin + ((at.sigma_next - begin_sigma) / middle) * (x - denoised)
        yield Step(at, x, denoised)


def dpm_2_ancestral(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """The same to below the next sigma, and noise up to it.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `KDPM2AncestralDiscreteScheduler`, whose middles are those of eta 1. With another the middle is
            another, whose timestep the schedule tells.
        rng: drawn from once a step of two evaluations, where eta > 0.
        eta: how much of the noise is fresh: 0 none, a step of the ODE; 1 as in DDPM.
        s_noise: the deviation of that noise.
    """
    begin, begin_sigma, middle, down, up = x, 0.0, 0.0, 0.0, 0.0
    for at in schedule:
        if at.index % 2 == 0:
            denoised = denoise(x, at)
            begin, begin_sigma = x, at.sigma
            middle, down, up = ancestral_middle(schedule, at, eta)
            x = denoised + (middle / at.sigma) * (x - denoised)
        else:
            denoised = denoise(x, schedule.evaluation(at, middle))
            x = begin + ((down - begin_sigma) / middle) * (x - denoised)
            if eta > 0:
                x = x + (s_noise * up) * draw(rng, x)
        yield Step(at, x, denoised)


def ancestral_middle(schedule: Schedule, at: Evaluation, eta: float) -> tuple[float, float, float]:
    """(middle, σ_down, σ_up) of the step of two evaluations that begins with `at`; the last has one, no noise."""
    if at.index + 1 == len(schedule):
        return at.sigma_next, at.sigma_next, 0.0
    down, up = ancestral_step(at.sigma, _end(schedule, at), eta)
    return at.sigma_next if eta == 1 else math.sqrt(at.sigma * down), down, up


def _end(schedule: Schedule, at: Evaluation) -> float:
    """Where the step of two evaluations ends that begins with `at`."""
    return float(schedule.sigmas[at.index + 2])
