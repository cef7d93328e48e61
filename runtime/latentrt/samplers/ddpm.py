"""Ancestral sampling of DDPM, arXiv:2006.11239 algorithm 2, over any timesteps."""

import math
from collections.abc import Iterator

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.step import Clip, Denoise, Latents, Step, draw
from latentrt.schedule import ZERO_SNR_SIGMA, Schedule

_LEAST = 1e-20  # of a variance whose logarithm is taken, as in diffusers


def ddpm(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    variance_type: str = "fixed_small",
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Draw from the posterior q(x' | x, x₀), with the network's x₀ and one of several variances.

    Args:
        denoise: the network; with a learned variance it gives (b, 2c, h, w), the variance behind x₀.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DDPMScheduler`, or any other.
        rng: drawn from once a step, but for one at timestep 0.
        variance_type: `fixed_small` is β̃, `fixed_large` is β; `…_log` the same, written otherwise; `learned` comes from
            the network; `learned_range` lies between the two, by the network, in their logarithms.
        clip: applied to x₀.

    Raises:
        InputError: the variance is to be learned, and the network gives none.
    """
    channels = x.shape[1]
    for at in schedule:
        output = denoise(x, at)
        denoised, learned = output[:, :channels], output[:, channels:]
        if clip is not None:
            denoised = clip(denoised)
        # From pure noise nothing is carried over; what stands for an infinite σ would carry 5e-10.
        ratio = 0.0 if at.sigma == ZERO_SNR_SIGMA > at.sigma_next else (at.sigma_next / at.sigma) ** 2
        x = denoised + ratio * (x - denoised)  # eq. 7: β/(1 − ᾱ) is 1 − ratio in sigma space
        if at.timestep > 0:
            deviation = _deviation(variance_type, at.sigma, at.sigma_next, learned, channels)
            # of the variance-preserving sample, which is x/√(1 + σ'²)
            x = x + math.sqrt(1 + at.sigma_next**2) * deviation * draw(rng, x)
        yield Step(at, x, denoised)


def _deviation(
    variance_type: str, sigma: float, sigma_next: float, learned: Latents, channels: int
) -> Latents | float:
    """√ of the posterior's variance."""
    beta = (sigma - sigma_next) * (sigma + sigma_next) / (1 + sigma**2)  # 1 − ᾱ/ᾱ'
    small = (sigma_next / sigma) ** 2 * (1 + sigma**2) / (1 + sigma_next**2) * beta  # β̃, eq. 7
    small = max(small, _LEAST)
    if variance_type in ("fixed_small", "fixed_small_log"):
        return math.sqrt(small)
    if variance_type in ("fixed_large", "fixed_large_log"):
        return math.sqrt(beta)
    if learned.shape[1] != channels:
        raise InputError(
            f"network: expected {2 * channels} channels for variance_type {variance_type}, the variance behind what is "
            f"predicted; got {channels + learned.shape[1]}"
        )
    if variance_type == "learned":
        return np.sqrt(learned)
    share = (learned + 1) / 2  # arXiv:2102.09672 eq. 15
    return np.exp(0.5 * (share * math.log(max(beta, _LEAST)) + (1 - share) * math.log(small)))
