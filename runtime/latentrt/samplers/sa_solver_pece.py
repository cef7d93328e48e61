"""SA-Solver by intervals of σ, with or without a second evaluation; arXiv:2309.05019, as ComfyUI has it."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import lagrange_weights, moments
from latentrt.samplers.step import Denoise, Latents, Step, draw
from latentrt.schedule import Schedule

_PREDICTOR, _CORRECTOR = 3, 4  # outputs that each uses
_NOISY = (0.2, 0.8)  # of the timesteps, from the last down: where τ is η, elsewhere 0


def sa_solver_pec(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Predict, evaluate, correct: third order and fourth, with noise where σ is neither high nor low.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: one with `train_sigmas`, by which that interval is found.
        rng: drawn from once a step that adds noise.
        eta: τ of the paper: 0 is the ODE.
        s_noise: the deviation of the noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, again=False)


def sa_solver_pece(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Iterator[Step]:
    """Predict, evaluate, correct, evaluate: the next prediction goes by what is seen in the corrected state.

    Args:
        denoise: the network, asked twice a step but for the first.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: one with `train_sigmas`, by which the interval with noise is found.
        rng: drawn from once a step that adds noise.
        eta: τ of the paper: 0 is the ODE.
        s_noise: the deviation of the noise.
    """
    return _steps(denoise, x, schedule, rng, eta, s_noise, again=True)


def _steps(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None,
    eta: float,
    s_noise: float,
    *,
    again: bool,
) -> Iterator[Step]:
    """Both; `again` evaluates the corrected state."""
    high, low = _interval(schedule)
    sigmas: NDArray[np.float64] = schedule.sigmas
    to_zero = float(sigmas[-1]) == 0
    seen: list[Latents] = []  # x₀, newest first
    predicted, noise, tau = x, 0.0 * x, 0.0
    for at in schedule:
        i, left = at.index, len(schedule) - at.index  # evaluations to come, this among them
        denoised = denoise(predicted, at)
        seen = [denoised, *seen[: _CORRECTOR - 1]]
        corrects = 0 if i == 0 or (at.sigma_next == 0 and not again) else min(_CORRECTOR, len(seen))
        predicts = min(_PREDICTOR, len(seen))
        if to_zero:  # lower orders near the end
            corrects, predicts = min(corrects, left), min(predicts, left - 1)
        if corrects > 0:
            known = sigmas[i::-1][:corrects].tolist()
            x = _update(x, seen[:corrects], known, float(sigmas[i - 1]), at.sigma, tau) + noise
            if again:
                denoised = denoise(x, at)
                seen[0] = denoised
        else:
            x = predicted
        if at.sigma_next == 0:
            predicted = denoised
        else:
            tau = eta if low <= at.sigma_next <= high else 0.0
            known = sigmas[i::-1][: max(predicts, 1)].tolist()
            predicted = _update(x, seen[: len(known)], known, at.sigma, at.sigma_next, tau)
            noise = 0.0 * x
            if tau > 0 and s_noise > 0:
                h = math.log(at.sigma / at.sigma_next)
                noise = (at.sigma_next * s_noise * math.sqrt(-math.expm1(-2 * tau**2 * h))) * draw(rng, x)
                predicted = predicted + noise
        yield Step(at, predicted, denoised)


def _interval(schedule: Schedule) -> tuple[float, float]:
    """The highest and the lowest σ at which a step with noise may end."""
    table = schedule.train_sigmas
    if table is None:
        raise InputError("sa_solver_pece: expected a schedule with train_sigmas, as those of Euler's classes")
    logs, last = np.log(table.astype(np.float64)), len(table) - 1
    high, low = (math.exp(np.interp((1 - share) * last, np.arange(last + 1), logs)) for share in _NOISY)
    return high, low


def _update(
    x: Latents, seen: Sequence[Latents], known: Sequence[float], sigma: float, sigma_next: float, tau: float
) -> Latents:
    """One step from σ to σ': x₀'s polynomial, integrated exactly in λ: eq. 14 of the paper in sigma space, no noise.

    Args:
        x: the state at `sigma`.
        seen: x₀, newest first.
        known: the σ of each; the corrector's first is `sigma_next`.
        sigma: where the step begins.
        sigma_next: where it ends, > 0.
        tau: of the whole step.
    """
    h = math.log(sigma / sigma_next)
    if h == 0:
        return x
    rate = 1 + tau**2
    nodes = [math.log(sigma / other) for other in known]
    distinct = next((n for n in range(1, len(nodes)) if nodes[n] == nodes[n - 1]), len(nodes))
    integrals = [rate * value for value in moments(distinct, h, -rate)]
    x = (sigma_next / sigma) ** rate * x
    for weight, denoised in zip(lagrange_weights(nodes[:distinct], integrals), seen, strict=False):
        x = x + float(weight) * denoised
    return x
