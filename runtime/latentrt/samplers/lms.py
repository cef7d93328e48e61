"""Linear multistep on the probability flow ODE; k-diffusion's `sample_lms`."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)  # exact to degree 7


def lms(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    order: int = 4,
    denoises_last: bool = False,
) -> Iterator[Step]:
    """Integrate the polynomial in σ through the last slopes: Adams–Bashforth with uneven steps.

    A run that starts in the middle (img2img) begins with the first order, as any other. diffusers weighs its first
    slopes there as if others had come before.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `LMSDiscreteScheduler`, or any other.
        rng: not drawn from.
        order: how many slopes are used, 1 to 4.
        denoises_last: end in x₀ as the last evaluation has it, where σ = 0, as ComfyUI does.
    """
    slopes: list[Latents] = []  # newest first
    for at in schedule:
        denoised = denoise(x, at)
        slopes = [(x - denoised) / at.sigma, *slopes[: order - 1]]
        points = schedule.sigmas[at.index :: -1][: len(slopes)]
        if denoises_last and at.sigma_next == 0:
            yield Step(at, denoised, denoised)
            return
        for weight, slope in zip(integrals(points, at.sigma_next), slopes, strict=True):
            x = x + weight * slope
        yield Step(at, x, denoised)


def integrals(points: NDArray[np.float64], end: float) -> list[float]:
    """Integrate each Lagrange polynomial of these points from the first of them to `end`.

    Args:
        points: all different, (n,), n at most 8.
        end: where to.
    """
    half = (end - points[0]) / 2
    places = points[0] + half * (1 + _NODES)
    result = []
    for j, own in enumerate(points):
        others = np.delete(points, j)
        values = np.prod((places[:, None] - others) / (own - others), axis=1)
        result.append(float(half * np.sum(_WEIGHTS * values)))
    return result
