"""Euler's method on the probability flow ODE, arXiv:2206.00364."""

from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule


def euler(denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None) -> Iterator[Step]:
    """Follow dx/dσ = (x − D(x; σ))/σ in straight steps: algorithm 1 of the paper, with no second order and no churn.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    for i, timestep in enumerate(schedule.timesteps.tolist()):
        sigma, sigma_next = float(schedule.sigmas[i]), float(schedule.sigmas[i + 1])
        denoised = denoise(x, sigma, timestep)
        # x + (σ' − σ)·dx/dσ (Karras et al. eq. 3, σ(t) = t), put together so that a huge σ does not cancel a huge x.
        x = denoised + (sigma_next / sigma) * (x - denoised)
        yield Step(i, sigma, timestep, x, denoised)
