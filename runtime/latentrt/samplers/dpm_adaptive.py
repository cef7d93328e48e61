"""DPM-Solver-23: steps as long as the error allows; arXiv:2206.00927 appendix C, k-diffusion's `dpm_adaptive`."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from latentrt.noise import NoiseSource
from latentrt.samplers.dpm_fast import evaluation_at, last_above_zero
from latentrt.samplers.dpm_solver_rk import between, first_order, second_order, third_order, two_thirds
from latentrt.samplers.step import Denoise, Latents, Step, ancestral_step, draw
from latentrt.schedule import Schedule

# k-diffusion's: tolerances, the first step in log σ, how much smaller the next may be than asked for, where to end.
_RELATIVE, _ABSOLUTE, _FIRST, _SAFETY, _CLOSE = 0.05, 0.0078, 0.05, 0.81, 1e-5


def dpm_adaptive(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Go from the schedule's first sigma to its last above 0 in steps of which second and third order agree.

    How often the network is asked depends on the picture, not on the number of steps, and of a batch on all of it. One
    step is yielded for each of the schedule's all the same, when the run has come that far: it may have gone farther.

    Args:
        denoise: the network, asked three times an attempt.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other that tells the timestep of any sigma.
        rng: drawn from once a step, where eta > 0.
        eta: how much of the noise is fresh: 0 none; 1 as in DDPM.
        s_noise: the deviation of that noise.

    Raises:
        InputError: the schedule has but one sigma above 0.
    """
    lowest, sigma, h = last_above_zero(schedule), float(schedule.sigmas[0]), _FIRST
    ats = list(schedule)
    before, denoised = x, x
    while math.log(sigma / lowest) > _CLOSE:
        sigma_next = max(sigma * math.exp(-h), lowest)
        down = max(ancestral_step(sigma, sigma_next, eta)[0], lowest)
        places = [sigma, between(sigma, down, 1 / 3), between(sigma, down, 2 / 3), down]
        seen: list[Latents] = []  # ε
        reached = x
        for place, to in pairwise(places):
            there = denoise(reached, evaluation_at(schedule, ats[0].index, place, to))
            denoised = denoised if seen else there
            seen.append((reached - there) / place)
            if len(seen) == 1:
                reached = first_order(x, seen[0], sigma, to)
            elif len(seen) == 2:
                reached = two_thirds(x, seen[0], seen[1], sigma, down)
        low = second_order(x, seen[0], seen[1], 1 / 3, sigma, down)
        high = third_order(x, seen[0], seen[2], sigma, down)
        allowed = np.maximum(_ABSOLUTE, _RELATIVE * np.maximum(np.abs(low), np.abs(before)))
        error = math.sqrt(float(np.mean(np.square((low - high) / allowed))))
        # An integral controller; its step never more than doubles, nearly: arXiv:2006.10738's limiter.
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / (1.5 if eta > 0 else 3)) - 1)
        h *= factor
        if factor < _SAFETY:
            continue
        before, x = low, high
        if eta > 0:
            x = x + (s_noise * math.sqrt(max(sigma_next**2 - down**2, 0.0))) * draw(rng, x)
        sigma = sigma_next
        while len(ats) > 1 and ats[0].sigma_next >= sigma:
            yield Step(ats.pop(0), x, denoised)
    for at in ats:
        yield Step(at, x, denoised)
