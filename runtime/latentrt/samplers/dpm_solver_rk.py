"""DPM-Solver's steps of second and third order over any stretch of σ; arXiv:2206.00927 algorithms 1 and 4.

In sigma space, where σ'·(eʰ − 1) is σ − σ'. Each takes ε at the beginning of the step, and ε between.
"""

import math

from latentrt.samplers.exponential import phi
from latentrt.samplers.step import Latents


def between(sigma: float, sigma_next: float, share: float) -> float:
    """The σ that lies so far along the way in log σ."""
    return sigma * math.pow(sigma_next / sigma, share)


def first_order(x: Latents, first: Latents, sigma: float, sigma_next: float) -> Latents:
    """DPM-Solver-1, which is DDIM."""
    return x + (sigma_next - sigma) * first


def second_order(
    x: Latents, first: Latents, middle: Latents, share: float, sigma: float, sigma_next: float
) -> Latents:
    """DPM-Solver-2, with ε at a share of the way."""
    return x + (sigma_next - sigma) * (first + (middle - first) / (2 * share))


def two_thirds(x: Latents, first: Latents, third: Latents, sigma: float, sigma_next: float) -> Latents:
    """DPM-Solver-3's state at two thirds of the way, with ε at one third."""
    h, end = 2 / 3 * math.log(sigma / sigma_next), between(sigma, sigma_next, 2 / 3)
    return x + (end - sigma) * first - (2 * end * (phi(1, h) - 1)) * (third - first)


def third_order(x: Latents, first: Latents, late: Latents, sigma: float, sigma_next: float) -> Latents:
    """DPM-Solver-3, with ε at two thirds of the way."""
    h = math.log(sigma / sigma_next)
    return x + (sigma_next - sigma) * first - (3 / 2 * sigma_next * (phi(1, h) - 1)) * (late - first)
