"""PNDM, arXiv:2202.09778: pseudo linear multistep (PLMS), begun with or without pseudo Runge–Kutta steps (PRK)."""

import math
from collections.abc import Iterator

import numpy as np

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule, reinterpret
from latentrt.schedule.classes.pndm import PRK_STEPS

# Adams–Bashforth weights of the outputs, newest first, by how many there are: eq. 12 of the paper and lower orders.
ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
_RUNGE_KUTTA = (1 / 6, 1 / 3, 1 / 3, 1 / 6)


def pndm(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    prediction_type: str = "epsilon",
    skip_prk_steps: bool = True,
) -> Iterator[Step]:
    """Step as DDIM does, along a noise that is extrapolated from up to four evaluations.

    To have those, either the first three steps are made by Runge and Kutta's method, with four evaluations each; or the
    first step is made twice: once along the noise at its start, then along the mean of the noise at both ends.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `PNDMScheduler` with the same `skip_prk_steps`; whole, where that is false.
        rng: not drawn from.
        prediction_type: `epsilon` or `v_prediction`: what is extrapolated, the noise or the velocity.
        skip_prk_steps: how to begin: true for the doubled step.

    Raises:
        InputError: with Runge–Kutta steps the schedule is not whole.
    """
    evaluations = 0 if skip_prk_steps else 4 * PRK_STEPS
    if evaluations and len(schedule) != schedule.num_inference_steps - PRK_STEPS + evaluations:
        raise InputError(
            "strength: PNDM with skip_prk_steps false runs whole; expected none, or another sampler"
        )
    outputs: list[Latents] = []  # newest first
    velocity = prediction_type == "v_prediction"
    begin, begin_sigma = x, float(schedule.sigmas[0])
    combined: Latents = np.zeros_like(x)
    for at in schedule:
        i, denoised = at.index, denoise(x, at)
        output = _velocity(x, denoised, at.sigma) if velocity else (x - denoised) / at.sigma
        start, stop = at.sigma, float(schedule.stops[i])
        if i < evaluations:
            if i % 4 == 0:
                outputs = [output, *outputs]
                begin, begin_sigma, combined = x, at.sigma, np.zeros_like(x)
            combined = combined + _RUNGE_KUTTA[i % 4] * output
            x, start = begin, begin_sigma
            along = combined if i % 4 == 3 else output  # eq. 13
        elif i == 1:
            along = (output + outputs[0]) / 2
            start, stop = float(schedule.starts[i]), at.sigma
            x = reinterpret(begin, begin_sigma, start)
        else:
            outputs = [output, *outputs[:3]]
            weights = ADAMS_BASHFORTH[len(outputs)]
            along = weights[0] * output
            for weight, earlier in zip(weights[1:], outputs[1:], strict=True):
                along = along + weight * earlier
        # eq. 9, which is DDIM eq. 12
        moved = _follow(x, along, start, stop) if velocity else x + (stop - start) * along
        x = reinterpret(moved, stop, at.sigma_next)
        yield Step(at, x, denoised)


def _velocity(x: Latents, denoised: Latents, sigma: float) -> Latents:
    """Compute v = α·ε − σ_vp·x₀ (arXiv:2202.00512 appendix D) of a state in sigma space."""
    return (x / (1 + sigma**2) - denoised) * (math.sqrt(1 + sigma**2) / sigma)


def _follow(x: Latents, velocity: Latents, sigma: float, sigma_next: float) -> Latents:
    """Step to x₀ + σ'·ε, where x₀ = α·x_vp − σ_vp·v and ε = α·v + σ_vp·x_vp."""
    root = math.sqrt(1 + sigma**2)
    x0 = x / root**2 - velocity * (sigma / root)
    return x0 + sigma_next * (velocity / root + x * (sigma / root**2))
