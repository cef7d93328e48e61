"""PNDM without its Runge–Kutta start: pseudo linear multistep (PLMS), arXiv:2202.09778."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule, reinterpret

# Adams–Bashforth weights of the outputs, newest first, by how many there are: eq. 12 of the paper and lower orders.
ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def pndm(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    prediction_type: str = "epsilon",
) -> Iterator[Step]:
    """Step as DDIM does, along a noise that is extrapolated from up to four evaluations.

    The first step is made twice: once along the noise at its start, then along the mean of the noise at both ends.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `PNDMScheduler`, whose second evaluation belongs to the first step.
        rng: not drawn from.
        prediction_type: `epsilon` or `v_prediction`: what is extrapolated, the noise or the velocity.
    """
    outputs: list[Latents] = []  # newest first
    velocity = prediction_type == "v_prediction"
    begin = x
    combined: Latents
    for i, timestep in enumerate(schedule.timesteps.tolist()):
        sigma, sigma_next = float(schedule.sigmas[i]), float(schedule.sigmas[i + 1])
        denoised = denoise(x, sigma, timestep)
        output = _velocity(x, denoised, sigma) if velocity else (x - denoised) / sigma
        start, stop = sigma, float(schedule.stops[i])
        if i == 1:
            combined = (output + outputs[0]) / 2
            start, stop = float(schedule.starts[i]), sigma
            x = reinterpret(begin, float(schedule.sigmas[0]), start)
        else:
            outputs = [output, *outputs[:3]]
            weights = ADAMS_BASHFORTH[len(outputs)]
            combined = weights[0] * output
            for weight, earlier in zip(weights[1:], outputs[1:], strict=True):
                combined = combined + weight * earlier
        # eq. 9, which is DDIM eq. 12
        moved = _follow(x, combined, start, stop) if velocity else x + (stop - start) * combined
        x = reinterpret(moved, stop, sigma_next)
        yield Step(i, sigma, timestep, x, denoised)


def _velocity(x: Latents, denoised: Latents, sigma: float) -> Latents:
    """Compute v = α·ε − σ_vp·x₀ (arXiv:2202.00512 appendix D) of a state in sigma space."""
    return (x / (1 + sigma**2) - denoised) * (math.sqrt(1 + sigma**2) / sigma)


def _follow(x: Latents, velocity: Latents, sigma: float, sigma_next: float) -> Latents:
    """Step to x₀ + σ'·ε, where x₀ = α·x_vp − σ_vp·v and ε = α·v + σ_vp·x_vp."""
    root = math.sqrt(1 + sigma**2)
    x0 = x / root**2 - velocity * (sigma / root)
    return x0 + sigma_next * (velocity / root + x * (sigma / root**2))
