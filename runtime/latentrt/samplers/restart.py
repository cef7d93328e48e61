"""Restart sampling: Heun's method that goes back up and down again near the end; arXiv:2306.14878, AUTOMATIC1111's."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule
from latentrt.schedule.sigmas import karras_between

_FEWEST, _MANY = 20, 36  # steps from which it restarts, and from which it does so twice
_FROM, _TO = 0.1, 2.0  # σ


def restart(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Step by Heun's method; of 20 steps or more, some go from σ = 2 to 0.1 once more, or twice, with fresh noise.

    Then the steps are spaced as Karras' schedule spaces them, whatever the schedule's are; only its ends count.

    Args:
        denoise: the network, asked twice a step but for one to σ = 0.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of any sigma.
        rng: drawn from once a restart.
        s_noise: the deviation of that noise.
    """
    before = math.inf
    stretches = _stretches(schedule.sigmas.tolist())
    for at, (sigma, sigma_next) in zip(schedule, stretches, strict=False):
        if sigma > before:
            x = x + (s_noise * math.sqrt(sigma**2 - before**2)) * draw(rng, x)
        here = replace(schedule.evaluation(at, sigma), sigma_next=sigma_next)
        denoised = denoise(x, here)
        slope = (x - denoised) / sigma
        reached = denoised + (sigma_next / sigma) * (x - denoised)
        if sigma_next > 0:
            end = denoise(reached, schedule.evaluation(here, sigma_next))
            reached = x + (sigma_next - sigma) * (slope + (reached - end) / sigma_next) / 2
        x, before = reached, sigma_next
        yield Step(here, x, denoised)


def _stretches(sigmas: list[float]) -> list[tuple[float, float]]:
    """From where to where each step goes: as many as there are in the schedule, or fewer where none can be repeated."""
    count = len(sigmas) - 1
    if count < _FEWEST:
        return list(pairwise(sigmas))
    steps, times = (count // 4, 2) if count >= _MANY else (9, 1)
    spaced = karras_between(sigmas[-2], sigmas[0], count - steps * times).astype(np.float64)
    bottom, top = (int(np.abs(spaced - np.float64(np.float32(level))).argmin()) for level in (_FROM, _TO))
    once = list(pairwise(spaced.tolist()))
    if top >= bottom:
        return once
    again = karras_between(spaced[bottom], spaced[top], steps + 1)[:-1].astype(np.float64).tolist()
    return once[:bottom] + list(pairwise(again)) * times + once[bottom:]
