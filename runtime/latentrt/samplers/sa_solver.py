"""SA-Solver: stochastic Adams, predictor and corrector; arXiv:2309.05019."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import lagrange_weights, log_step, moments
from latentrt.samplers.step import Clip, Denoise, Latents, Step, draw
from latentrt.schedule import Schedule

Tau = Callable[[float], float]


def middle_tau(timestep: float) -> float:
    """Diffusers' default τ: noise in the middle of the run alone."""
    return 1.0 if 200 <= timestep <= 800 else 0.0


def sa_solver(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    predictor_order: int = 2,
    corrector_order: int = 2,
    algorithm_type: str = "data_prediction",
    tau_func: Tau | None = None,
    lower_order_final: bool = True,
    clip: Clip | None = None,
    eta: float = 1.0,
) -> Iterator[Step]:
    """Predict each state from outputs before it, with noise; correct it with the output evaluated there, same noise.

    As with UniPC, a step yields the predicted state, and what follows goes on from the corrected one.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `SASolverScheduler`, or any other.
        rng: drawn from once a step, also where τ is 0.
        predictor_order: 1 to 4, outputs that the predictor uses.
        corrector_order: 1 to 4, outputs that the corrector uses, the new one among them.
        algorithm_type: `data_prediction` extrapolates x₀, `noise_prediction` ε.
        tau_func: timestep → τ, how stochastic: 0 is an ODE, 1 the reverse SDE. None: 1 at timesteps 200 to 800, else 0.
        lower_order_final: lower orders over the last steps.
        clip: applied to what is denoised.
        eta: what τ is multiplied with.
    """
    tau_of = middle_tau if tau_func is None else tau_func
    data = algorithm_type == "data_prediction"
    kept = max(predictor_order, corrector_order - 1)
    outputs: list[Latents] = []  # newest first
    before, noise, order, tau = x, x, 0, 0.0
    for at in schedule:
        i, denoised = at.index, denoise(x, at)
        if clip is not None:
            denoised = clip(denoised)
        output = denoised if data else (x - denoised) / at.sigma
        if i > 0:
            used = [output, *outputs][:order]
            sigmas = schedule.sigmas[i::-1][: len(used)].tolist()
            x = _update(before, used, sigmas, float(schedule.sigmas[i - 1]), at.sigma, data, tau, noise)
        outputs = [output, *outputs[: kept - 1]]
        noise, tau, before = draw(rng, x), eta * float(tau_of(at.timestep)), x
        left = len(schedule) - i
        order = min(predictor_order, i + 1, left if lower_order_final else predictor_order)
        sigmas = schedule.sigmas[i::-1][:order].tolist()
        x = _update(x, outputs[:order], sigmas, at.sigma, at.sigma_next, data, tau, noise)
        order = min(corrector_order, i + 2, left + 1 if lower_order_final else corrector_order)
        yield Step(at, x, denoised)


def _update(
    x: Latents,
    outputs: Sequence[Latents],
    sigmas: Sequence[float],
    sigma: float,
    sigma_next: float,
    data: bool,
    tau: float,
    noise: Latents,
) -> Latents:
    """One step from σ to σ': the polynomial through the outputs, integrated exactly, in sigma space.

    Args:
        x: the state at `sigma`.
        outputs: x₀ with `data`, else ε; the predictor's begin at `sigma`, the corrector's at `sigma_next`.
        sigmas: where each was evaluated.
        sigma: where the step begins.
        sigma_next: where it ends, > 0.
        data: `data_prediction`.
        tau: of the whole step.
        noise: of unit variance.
    """
    h = log_step(sigma, sigma_next)
    if h == 0:
        return x  # two equal timesteps, or a run that ends where it is
    nodes = [log_step(sigma, other) for other in sigmas]
    fresh = next((n for n in range(1, len(nodes)) if nodes[n] == nodes[n - 1]), len(nodes))
    nodes, outputs = nodes[:fresh], outputs[:fresh]
    rate = 1 + tau**2
    if data:
        integrals = [rate * value for value in moments(len(nodes), h, -rate)]
        if len(nodes) == 2:
            # As diffusers and the authors' code have it: at second order the slope counts as in the middle of the step.
            integrals[1] = rate * h**2 / 2
        x_next = (sigma_next / sigma) ** rate * x
        spread = -math.expm1(-2 * tau**2 * h)
    else:
        integrals = [-rate * sigma_next * value for value in moments(len(nodes), h, 1.0)]
        x_next = x
        spread = tau**2 * math.expm1(2 * h)
    for weight, output in zip(lagrange_weights(nodes, integrals).tolist(), outputs, strict=True):
        x_next = x_next + weight * output
    return np.asarray(x_next + (sigma_next * math.sqrt(spread)) * noise)
