"""DPM-Solver++ 2M, arXiv:2211.01095."""

import math
from collections.abc import Iterator

from latentrt.noise import NoiseSource
from latentrt.samplers.step import Clip, Denoise, Latents, Step
from latentrt.schedule import Schedule

_FEW_STEPS = 15  # below which `lower_order_final` acts


def dpmpp_2m(
    denoise: Denoise,
    x: Latents,
    schedule: Schedule,
    rng: NoiseSource | None = None,
    *,
    solver_order: int = 2,
    solver_type: str = "midpoint",
    lower_order_final: bool = True,
    euler_at_final: bool = False,
    clip: Clip | None = None,
) -> Iterator[Step]:
    """Integrate exactly in λ = −log σ, with D(x; σ) extrapolated from this evaluation and the one before.

    Args:
        denoise: the network.
        x: (b, c, h, w) at `schedule.sigmas[0]`.
        schedule: from `DPMSolverMultistepScheduler`, or any other.
        rng: not drawn from.
        solver_order: 1 or 2; 1 is DDIM.
        solver_type: `midpoint` or `heun`, two ways to weigh the slope of D.
        lower_order_final: end with a first-order step where there are fewer than 15.
        euler_at_final: end with a first-order step however many there are; a step to σ = 0 always is one.
        clip: applied to what is denoised.
    """
    before: Latents | None = None
    h_before = 0.0
    few = schedule.num_inference_steps < _FEW_STEPS
    for i, timestep in enumerate(schedule.timesteps.tolist()):
        sigma, sigma_next = float(schedule.sigmas[i]), float(schedule.sigmas[i + 1])
        denoised = denoise(x, sigma, timestep)
        if clip is not None:
            denoised = clip(denoised)
        h = math.log(sigma / sigma_next) if sigma_next > 0 else math.inf  # λ' − λ
        decay = sigma_next / sigma  # e^{−h}
        final = i == len(schedule) - 1 and (euler_at_final or (lower_order_final and few) or sigma_next == 0)
        # eq. 9 of the paper in sigma space: divided by α', so that α'(e^{−h} − 1) loses its α'
        x_next = decay * x + (1 - decay) * denoised
        # Two equal timesteps make a step of length 0, across which there is no slope.
        if solver_order == 2 and before is not None and not final and h > 0 and h_before > 0:
            slope = (h / h_before) * (denoised - before)
            weight = 0.5 * (1 - decay) if solver_type == "midpoint" else (decay - 1) / h + 1  # algorithm 2
            x_next = x_next + weight * slope
        before, h_before = denoised, h
        x = x_next
        yield Step(i, sigma, timestep, x, denoised)
