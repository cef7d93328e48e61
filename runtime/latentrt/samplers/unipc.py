"""UniPC: a multistep predictor, and a corrector that needs no evaluation of its own; arXiv:2302.04867."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from latentrt.noise import NoiseSource
from latentrt.samplers.exponential import log_step, phi
from latentrt.samplers.step import Clip, Denoise, Latents, Step
from latentrt.schedule import Schedule


def unipc(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    solver_order: int = 2,
    solver_type: str = "bh2",
    predict_x0: bool = True,
    lower_order_final: bool = True,
    disable_corrector: Sequence[int] = (),
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Predict each state from outputs before it, and correct it with the output that is evaluated there.

    The state that a step yields is predicted; it is corrected once the next evaluation is made, and what follows goes
    on from the corrected one.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `UniPCMultistepScheduler`, or any other.
        rng: not drawn from.
        solver_order: 1 or more; that of the predictor, which the corrector raises by one. 3 where guidance is weak.
        solver_type: B(h) of the paper: `bh1` h, `bh2` e^h − 1.
        predict_x0: extrapolate x₀; else ε.
        lower_order_final: fall to first order over the last steps; a step to σ = 0 always is of first order.
        disable_corrector: steps, counted from 0 in a whole run, whose result is not corrected.
        clip: applied to what is denoised, with `predict_x0`.
    """
    outputs: list[Latents] = []  # newest first
    begun = schedule.num_inference_steps - len(schedule)
    before, order = x, 0
    for at in schedule:
        i, denoised = at.index, denoise(x, at)
        if clip is not None and predict_x0:
            denoised = clip(denoised)
        output = denoised if predict_x0 else (x - denoised) / at.sigma
        if i > 0 and begun + i - 1 not in disable_corrector:
            sigmas = schedule.sigmas[i - order : i + 1].tolist()
            x = _update(before, outputs[:order], sigmas, solver_type, predict_x0, corrected_by=output)
        outputs = [output, *outputs[: solver_order - 1]]
        order = len(outputs)
        if lower_order_final:
            order = min(order, len(schedule) - i)
        if at.sigma_next == 0:
            order = 1
        before = x
        sigmas = schedule.sigmas[i - order + 1 : i + 2].tolist()
        x = _update(x, outputs[:order], sigmas, solver_type, predict_x0)
        yield Step(at, x, denoised)


def _update(
    x: Latents,
    outputs: Sequence[Latents],
    sigmas: Sequence[float],
    solver_type: str,
    predict_x0: bool,
    corrected_by: Latents | None = None,
) -> Latents:
    """One step, UniP without `corrected_by`, UniC with.

    Args:
        x: the state at the second to last of `sigmas`.
        outputs: evaluated there and before, newest first; as many as the order.
        sigmas: where they were evaluated, and where the step ends, descending.
        solver_type: `bh1` or `bh2`.
        predict_x0: what the outputs are: x₀ or ε.
        corrected_by: the output at the end of the step.
    """
    *earlier, sigma, sigma_next = sigmas
    h = log_step(sigma, sigma_next)
    if predict_x0:
        z, scale = -h, 1.0
        x_next = (sigma_next / sigma) * x - math.expm1(z) * outputs[0]
    else:
        z, scale = h, sigma_next
        x_next = x - (sigma - sigma_next) * outputs[0]
    if h == 0:
        return x_next  # two equal timesteps
    # r of the paper, newest first, and the differences D over them; equal timesteps leave no slope behind them.
    ratios = [log_step(sigma, other) / h for other in reversed(earlier)]
    pairs = list(zip(ratios, outputs[1:], strict=True))
    used = next((n for n, r in enumerate(ratios) if r == 0 or r in ratios[:n]), len(pairs))
    terms = [(output - outputs[0]) / r for r, output in pairs[:used]]
    ratios = ratios[:used]
    if corrected_by is not None:
        ratios, terms = [*ratios, 1.0], [*terms, corrected_by - outputs[0]]
    b_h = z if solver_type == "bh1" else math.expm1(z)
    for rho, term in zip(_rhos(ratios, z, b_h), terms, strict=True):
        x_next = x_next - (scale * b_h * rho) * term  # eq. 3; UniP is without the last D
    return x_next


def _rhos(ratios: Sequence[float], z: float, b_h: float) -> Sequence[float]:
    """The weights of theorem 3.1: R·ρ = b, b_k = k!·z·φ_{k+1}(z)/B(h); where there is but one, ½ is good enough."""
    if len(ratios) <= 1:
        return [0.5] * len(ratios)
    count = range(len(ratios))
    powers = np.array([[r**k for r in ratios] for k in count])
    b = [math.factorial(k + 1) * z * phi(k + 2, z) / b_h for k in count]
    solved: list[float] = np.linalg.solve(powers, b).tolist()
    return solved
