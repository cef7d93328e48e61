"""DEIS in the time of a variance-preserving SDE, tAB; arXiv:2204.13902. What ComfyUI calls `deis`."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Denoise, Latents, Step
from latentrt.schedule import Schedule

Float64 = NDArray[np.float64]

_MAX_ORDER = 3
_POINTS = 10_000  # of the sum that stands for the integral
# β(t) of the SDE whose σ goes from 0.002 at t = 0.001 to 80 at t = 1, as in the authors' code, whatever the model.
_FIRST_T, _LOWEST, _HIGHEST = 1e-3, 0.002, 80.0
_AT_LOWEST, _AT_HIGHEST = math.log(_LOWEST**2 + 1), math.log(_HIGHEST**2 + 1)
_SLOPE = 2 * (_AT_LOWEST / _FIRST_T - _AT_HIGHEST) / (_FIRST_T - 1)
_BETA_0 = _AT_HIGHEST - _SLOPE / 2


def deis_tab(
    denoise: Denoise, x: Latents, schedule: Schedule, rng: NoiseSource | None = None
) -> Iterator[Step]:
    """Extrapolate ε by a polynomial in t through up to three evaluations, and integrate that over dσ.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `EulerDiscreteScheduler`, or any other.
        rng: not drawn from.
    """
    outputs: list[Latents] = []  # newest first
    for at in schedule:
        denoised = denoise(x, at)
        outputs = [(x - denoised) / at.sigma, *outputs[: _MAX_ORDER - 1]]
        sigmas = schedule.sigmas[at.index :: -1][: len(outputs)].tolist()
        distinct = next((n for n in range(1, len(sigmas)) if sigmas[n] == sigmas[n - 1]), len(sigmas))
        if distinct == 1 or at.sigma_next == 0:
            x = denoised + (at.sigma_next / at.sigma) * (x - denoised)
        else:
            weights = _weights(sigmas[:distinct], at.sigma_next)
            for weight, output in zip(weights, outputs, strict=False):
                x = x + weight * output
        yield Step(at, x, denoised)


def _time(sigma: float) -> float:
    """The t of a σ: log(σ² + 1) = ½·slope·t² + β₀·t."""
    return (math.sqrt(_BETA_0**2 + 2 * _SLOPE * math.log(sigma**2 + 1)) - _BETA_0) / _SLOPE


def _weights(sigmas: Sequence[float], sigma_next: float) -> list[float]:
    """∫ of each Lagrange polynomial in t, over dσ from the first of the sigmas to the next: eq. 15.

    It is summed at both ends and between as the authors' code does, which is off by 1e-4 of the step and shows.
    """
    nodes, end = [_time(sigma) for sigma in sigmas], _time(sigma_next)
    times = np.linspace(nodes[0], end, _POINTS)
    slopes = _dsigma_dt(times) * ((end - nodes[0]) / _POINTS)
    weights = []
    for j, own in enumerate(nodes):
        values = slopes.copy()
        for k, other in enumerate(nodes):
            if k != j:
                values *= (times - other) / (own - other)
        weights.append(float(values.sum()))
    return weights


def _dsigma_dt(times: Float64) -> Float64:
    """dσ/dt = −½·(d log α/dt)/√(α(1 − α)), with α = 1/(σ² + 1)."""
    exponent = 0.5 * _SLOPE * times**2 + _BETA_0 * times
    alpha = np.exp(-exponent)
    return np.asarray(0.5 * (_SLOPE * times + _BETA_0) / np.sqrt(alpha * -np.expm1(-exponent)))
