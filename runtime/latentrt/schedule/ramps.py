"""Sigmas that do not follow the timesteps: Karras, exponential, beta, Lu; and the timestep of a sigma.

All take the highest and lowest sigma and give `count` of them, descending, float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.schedule.beta import beta_ppf

Float64 = NDArray[np.float64]


def karras(highest: float, lowest: float, count: int, rho: float = 7.0) -> Float64:
    """arXiv:2206.00364 eq. 5."""
    high, low = highest ** (1 / rho), lowest ** (1 / rho)
    return np.asarray((high + np.linspace(0, 1, count) * (low - high)) ** rho)


def exponential(highest: float, lowest: float, count: int) -> Float64:
    """Even steps of log σ."""
    return np.exp(np.linspace(np.log(highest), np.log(lowest), count))


def lu(highest: float, lowest: float, count: int) -> Float64:
    """Even steps of log-SNR (arXiv:2206.00927 §4.1), between ends that diffusers knows as float32 logarithms."""
    high, low = float(np.log(np.float32(highest))), float(np.log(np.float32(lowest)))
    return np.exp(high + np.linspace(0, 1, count) * (low - high))


def beta(highest: float, lowest: float, count: int) -> Float64:
    """Quantiles of a Beta(0.6, 0.6) distribution, arXiv:2407.12173."""
    quantiles = beta_ppf(1 - np.linspace(0, 1, count), 0.6, 0.6)
    return lowest + quantiles * (highest - lowest)


# Where several are turned on, the first counts, as in diffusers.
RAMPS: dict[str, Callable[[float, float, int], Float64]] = {
    "use_karras_sigmas": karras,
    "use_lu_lambdas": lu,
    "use_exponential_sigmas": exponential,
    "use_beta_sigmas": beta,
}


def sigma_to_timestep(
    sigmas: NDArray[np.floating[Any]], log_train_sigmas: NDArray[np.floating[Any]], *, single: bool = False
) -> Float64:
    """Interpolate the (fractional) timestep of each sigma in log σ, as diffusers' `_sigma_to_t`.

    Args:
        sigmas: (n,), > 0.
        log_train_sigmas: log σ of every training timestep, rising, (num_train_timesteps,).
        single: compute the last step in float32, too, as diffusers does where sigmas are a tensor.
    """
    log_sigmas = np.log(np.maximum(sigmas, 1e-10))
    # The last training sigma at or below each; that the very highest has a neighbour above, one earlier. At zero SNR
    # the very last may be below those before it: hence the least of each and all after it, which does rise.
    least_from = np.minimum.accumulate(log_train_sigmas[::-1])[::-1]
    low = np.searchsorted(least_from, log_sigmas, side="right") - 1
    low = low.clip(0, len(log_train_sigmas) - 2)
    below, above = log_train_sigmas[low], log_train_sigmas[low + 1]
    weight = np.clip((below - log_sigmas) / (below - above), 0, 1)
    if single:
        weight, low = weight.astype(np.float32), low.astype(np.float32)
    return np.asarray((1 - weight) * low + weight * (low + 1), dtype=np.float64)


def timestep_at(log_train_sigmas: NDArray[np.floating[Any]], sigma: float) -> float:
    """The same of one sigma."""
    return float(sigma_to_timestep(np.array([sigma]), log_train_sigmas)[0])
