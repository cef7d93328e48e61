"""One step of DPM-Solver and DPM-Solver++, deterministic or not, whatever its outputs were evaluated at.

arXiv:2206.00927 and 2211.01095, in sigma space: everything is divided by α', so that α'(e^{−h} − 1) loses its α', and
σ'_vp becomes σ'. h = λ' − λ = log(σ/σ').
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from latentrt.errors import InputError
from latentrt.samplers.exponential import log_step, phi
from latentrt.samplers.step import Latents

ALGORITHMS = ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")


@dataclass(frozen=True)
class Weights:
    """What a step from σ to σ' multiplies its terms with.

    Attributes:
        x: of the state at σ.
        output: of the output at σ, first order.
        midpoint: of its slope, over the whole step, where `solver_type` is midpoint.
        slope: of its slope, integrated exactly (`heun`, and third order).
        curvature: of its curvature.
        noise: of fresh unit noise; 0 for the deterministic.
    """

    x: float
    output: float
    midpoint: float
    slope: float
    curvature: float
    noise: float


def weights(
    algorithm_type: str, sigma: float, sigma_next: float, eta: float = 1.0, s_noise: float = 1.0
) -> Weights:
    """Weigh the terms of one step.

    Args:
        algorithm_type: with ++ the output is x₀, without it is ε; with sde- the step adds noise.
        sigma: where the step begins, > 0.
        sigma_next: where it ends, 0 … sigma; at 0 only `x`, `output` and `noise` mean something.
        eta: of sde-, how much of the reverse SDE's noise and drift there is: 0 is the ODE.
        s_noise: the deviation of the noise.
    """
    if algorithm_type not in ALGORITHMS:
        raise InputError(f"algorithm_type: expected one of {', '.join(ALGORITHMS)}, got {algorithm_type!r}")
    h, decay = log_step(sigma, sigma_next), sigma_next / sigma  # decay = e^{−h}
    sde = algorithm_type.startswith("sde-")
    if algorithm_type.endswith("++"):
        z = (1 + eta) * h if sde else h
        output = -math.expm1(-z)
        # DPM-Solver++ algorithm 2, and its SDE with (1 + η)·h for h. The SDE's curvature is as diffusers has it, where
        # the ½ has the wrong sign: as h falls it tends to −1, not to 0, so that third order is worse than second.
        curvature = -phi(2, -z) - 0.5 if sde else 0.5 - phi(2, -z)
        noise = s_noise * sigma_next * math.sqrt(max(1 - decay ** (2 * eta), 0.0)) if sde else 0.0
        return Weights(math.exp(-z), output, output / 2, 1 - phi(1, -z), curvature, noise)
    k = 1 + eta if sde else 1.0
    output = -k * (sigma - sigma_next)  # DPM-Solver eq. 3.7: σ'(e^h − 1)
    slope, curvature = -k * sigma_next * (phi(1, h) - 1), -k * sigma_next * (phi(2, h) - 0.5)
    noise = s_noise * math.sqrt(max(eta * (sigma**2 - sigma_next**2), 0.0)) if sde else 0.0
    return Weights(1.0, output, output / 2, slope, curvature, noise)


def model_output(algorithm_type: str, x: Latents, denoised: Latents, sigma: float) -> Latents:
    """What the algorithm extrapolates: x₀, or ε = (x − x₀)/σ."""
    return denoised if algorithm_type.endswith("++") else (x - denoised) / sigma


def advance(w: Weights, x: Latents, output: Latents, terms: Sequence[tuple[float, Latents]]) -> Latents:
    """Put a step together, without its noise.

    Args:
        w: of the step.
        x: the state at its beginning, (b, c, h, w).
        output: there.
        terms: further outputs or their differences, each with its weight.
    """
    x_next = w.x * x + w.output * output
    for weight, term in terms:
        x_next = x_next + weight * term
    return x_next
