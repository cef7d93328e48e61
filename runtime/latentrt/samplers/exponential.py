"""Exponential integrators: what the solvers that are exact in λ = −log σ share."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_TERMS = 24  # of the Taylor series, enough for float64 where |z| < 1


def phi(k: int, z: float) -> float:
    """φ_k(z) = Σ_j zʲ/(j + k)!: φ₀ = eᶻ, φ₁ = (eᶻ − 1)/z, φ_k = (φ_{k−1} − 1/(k − 1)!)/z.

    Args:
        k: 0 or more.
        z: −∞ … 700.
    """
    if abs(z) < 1:  # where the recursion cancels
        total, term = 0.0, 1 / math.factorial(k)
        for j in range(_TERMS):
            total += term
            term *= z / (j + k + 1)
        return total
    value = math.exp(z)
    for i in range(k):
        value = (value - 1 / math.factorial(i)) / z
    return value


def log_step(sigma: float, sigma_next: float) -> float:
    """H = λ' − λ = log(σ/σ'), infinite where σ' = 0."""
    return math.log(sigma / sigma_next) if sigma_next > 0 else math.inf


def moments(count: int, h: float, rate: float) -> list[float]:
    """∫₀ʰ e^{rate·(h − v)}·vʲ dv for j = 0 … count − 1: h^{j+1}·j!·φ_{j+1}(rate·h)."""
    return [h ** (j + 1) * math.factorial(j) * phi(j + 1, rate * h) for j in range(count)]


def lagrange_weights(nodes: Sequence[float], integrals: Sequence[float]) -> NDArray[np.float64]:
    """Weigh values at nodes so that their sum integrates the polynomial through them.

    Args:
        nodes: distinct, (n,).
        integrals: of 1, v, v², …, over the weight function, (n,).
    """
    # Σ_i w_i·node_iʲ = ∫ vʲ for each j: at most four nodes, so that solving this loses nothing that counts.
    scale = max(abs(node) for node in nodes)
    scale = scale if scale > 0 else 1.0
    powers = [[(node / scale) ** j for node in nodes] for j in range(len(nodes))]
    return np.linalg.solve(np.array(powers), [value / scale**j for j, value in enumerate(integrals)])
