"""Trajectory consistency distillation: strategic stochastic sampling; arXiv:2402.19159."""

import math
from collections.abc import Iterator

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule


def tcd(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    eta: float = 0.3,
) -> Iterator[Step]:
    """Jump below the next timestep, then add noise up to it.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `TCDScheduler`: one with `train_sigmas`, which ends at timestep 0.
        rng: drawn from in every step but the last, where eta > 0.
        eta: γ of the paper, in [0, 1]: 0 jumps to the next timestep, 1 to timestep 0.
    """
    table = schedule.train_sigmas
    if table is None:
        raise InputError("tcd: expected a schedule with train_sigmas, as TCDScheduler's has")
    ends = [*schedule.timesteps.tolist()[1:], 0.0]
    for at, end in zip(schedule, ends, strict=True):
        denoised = denoise(x, at)
        # diffusers multiplies in float32: 0.7·10 is 7 in both, but not every product falls on the same side.
        down = float(table[int(np.float32(1 - eta) * np.float32(end))])
        x = denoised + (down / at.sigma) * (x - denoised)  # DDIM's step, arXiv:2010.02502 eq. 12
        if eta > 0 and at.index < len(schedule) - 1:
            # √(ᾱ'/ᾱ_s)·x_s + √(1 − ᾱ'/ᾱ_s)·noise, in sigma space
            x = x + math.sqrt(max(at.sigma_next**2 - down**2, 0.0)) * draw(rng, x)
        yield Step(at, x, denoised)
