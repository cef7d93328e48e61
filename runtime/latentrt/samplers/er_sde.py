"""ER-SDE-Solver-3: an extended reverse-time SDE with less noise than the usual one; arXiv:2309.06169."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule

_POINTS = 200  # of the sums that stand for integrals, as in the authors' code


def er_sde(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    s_noise: float = 1.0,
    max_stage: int = 3,
) -> Iterator[Step]:
    """Integrate the SDE of noise scale φ(σ) = σ·(e^{σ^0.3} + 10), with x₀ extrapolated from up to three evaluations.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: drawn from once a step, but for one to σ = 0, where s_noise > 0.
        s_noise: the deviation of the noise; with 0 the run is deterministic, but no solver of the ODE: φ stays.
        max_stage: 1 to 3, how many evaluations count.
    """
    seen: list[tuple[float, Latents]] = []  # σ and x₀, newest first
    slope_before: Latents | None = None
    for at in schedule:
        denoised, sigma, end = denoise(x, at), at.sigma, at.sigma_next
        if end == 0:
            yield Step(at, denoised, denoised)
            return
        kept = _scale(end) / _scale(sigma)
        x = kept * x + (1 - kept) * denoised
        if seen and max_stage >= 2 and seen[0][0] != sigma:
            places = end + np.arange(_POINTS, dtype=np.float64) * ((sigma - end) / _POINTS)
            inverse = ((sigma - end) / _POINTS) / _scales(places)
            slope = (denoised - seen[0][1]) / (sigma - seen[0][0])
            x = x + (end - sigma + float(inverse.sum()) * _scale(end)) * slope
            if len(seen) == 2 and max_stage >= 3 and slope_before is not None:
                curvature = (slope - slope_before) / ((sigma - seen[1][0]) / 2)
                moment = float(((places - sigma) * inverse).sum())
                x = x + ((end - sigma) ** 2 / 2 + moment * _scale(end)) * curvature
            slope_before = slope
        if s_noise > 0:
            x = x + (s_noise * math.sqrt(max(end**2 - (sigma * kept) ** 2, 0.0))) * draw(rng, x)
        seen = [(sigma, denoised), *seen[:1]]
        yield Step(at, x, denoised)


def _scale(sigma: float) -> float:
    """φ of the paper, which its appendix recommends for variance-preserving models."""
    return sigma * (math.exp(sigma**0.3) + 10)


def _scales(sigmas: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return np.asarray(sigmas * (np.exp(sigmas**0.3) + 10))
