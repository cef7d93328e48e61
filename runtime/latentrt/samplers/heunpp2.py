"""Heun++: Heun's method with a third slope, two steps ahead, and weights that follow σ; ComfyUI's `sample_heunpp2`."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.churn import Churn
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule


def heunpp2(
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
    """Step along a weighted mean of the slopes here, at the next sigma and the one after, reached by Euler's method.

    The slopes ahead have the weights σ'/(3·σ₀) and σ''/(3·σ₀), σ₀ being where the run begins; so that the solver is of
    first order. In the last step but one only the next slope is there, with 2 for 3; the last step is Euler's.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step where there is churn.
        s_churn: see `Churn`, as the rest.
        s_tmin: likewise.
        s_tmax: likewise.
        s_noise: likewise.
    """
    churn = Churn(s_churn, s_tmin, s_tmax, s_noise)
    ats = list(schedule)
    for at in ats:
        ahead = ats[at.index + 1 : at.index + 3]
        begin, sigma = churn.raised(x, at.sigma, schedule, rng)
        denoised = denoise(begin, schedule.evaluation(at, sigma))
        slope = (begin - denoised) / sigma
        mean, reached, x_ahead = slope, sigma, begin
        for next_at in ahead:
            x_ahead = x_ahead + (next_at.sigma - reached) * slope
            slope = (x_ahead - denoise(x_ahead, next_at)) / next_at.sigma
            share = next_at.sigma / ((len(ahead) + 1) * ats[0].sigma)
            mean = mean + share * (slope - (begin - denoised) / sigma)
            reached = next_at.sigma
        x = begin + (at.sigma_next - sigma) * mean if at.sigma_next > 0 else denoised
        yield Step(at, x, denoised)
