"""Quantiles of the beta distribution, which numpy lacks and scipy would be a large dependency for."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_BISECTIONS = 60
_TERMS = 200


def beta_ppf(probabilities: NDArray[np.floating[Any]], a: float, b: float) -> Float64:
    """Invert the regularised incomplete beta function I_x(a, b) = p by bisection.

    Args:
        probabilities: in [0, 1], any shape.
        a: shape parameter, > 0.
        b: shape parameter, > 0.

    Returns:
        x in [0, 1], to 1e-10 absolute, and 1e-14 where a, b < 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    inside = (p > 0) & (p < 1)
    x = np.where(p <= 0, 0.0, 1.0)
    x[inside] = _bisect(p[inside], a, b)
    return x


def _bisect(p: Float64, a: float, b: float) -> Float64:
    low, high = np.zeros_like(p), np.ones_like(p)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = _betainc(middle, a, b) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _betainc(x: Float64, a: float, b: float) -> Float64:
    """I_x(a, b) for 0 < x < 1, by symmetry from the half on which the continued fraction converges fast."""
    flip = x > (a + 1) / (a + b + 2)
    lower = np.where(flip, 1 - x, x)
    p, q = np.where(flip, b, a), np.where(flip, a, b)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = np.exp(p * np.log(lower) + q * np.log1p(-lower) - log_beta) / p
    value = front * _continued_fraction(lower, p, q)
    return np.asarray(np.where(flip, 1 - value, value))


def _continued_fraction(x: Float64, a: Float64, b: Float64) -> Float64:
    """Evaluate the continued fraction of I_x(a, b), DLMF 8.17.22, by the modified Lentz algorithm."""
    c, d = np.ones_like(x), 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            delta = c * d
            value = value * delta
        if np.all(np.abs(delta - 1) < 1e-15):
            break
    return value
