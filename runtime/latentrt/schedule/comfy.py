"""ComfyUI's own sigma schedules, for solvers of k-diffusion's kind.

Each takes the model's table of sigmas and a number of steps, and gives the sigmas of the run with the last, 0. The
network is told the timestep whose sigma is nearest in log σ, as there.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.beta import beta_ppf
from latentrt.schedule.classes.common import Float64, Options, chained, interleaved, ve_sigmas
from latentrt.schedule.ramps import exponential, karras
from latentrt.schedule.schedule import Schedule

Table = NDArray[np.float32]  # σ of every training timestep, rising

# ᾱ of the last timestep at zero terminal SNR, where diffusers has 2⁻²⁴: σ = 4518.8.
_LAST_ALPHA = 4.8973451890853435e-08


def _simple(table: Table, count: int) -> Float64:
    stride = len(table) / count
    return np.array([table[-(1 + int(i * stride))] for i in range(count)] + [0.0])


def _ddim_uniform(table: Table, count: int) -> Float64:
    """Every ⌊train/count⌋-th timestep from 1; where that has a remainder, more steps than were asked for."""
    return np.append(table[1 :: max(len(table) // count, 1)][::-1], 0.0).astype(np.float64)


def _normal(table: Table, count: int) -> Float64:
    return np.append(_at(table, np.linspace(len(table) - 1, 0, count)), 0.0)


def _sgm_uniform(table: Table, count: int) -> Float64:
    return np.append(_at(table, np.linspace(len(table) - 1, 0, count + 1)[:-1]), 0.0)


def _karras(table: Table, count: int) -> Float64:
    return np.append(karras(float(table[-1]), float(table[0]), count), 0.0)


def _exponential(table: Table, count: int) -> Float64:
    return np.append(exponential(float(table[-1]), float(table[0]), count), 0.0)


def _beta(table: Table, count: int) -> Float64:
    """Quantiles of Beta(0.6, 0.6) over the timesteps, arXiv:2407.12173; fewer steps where two fall on one timestep."""
    quantiles = beta_ppf(1 - np.linspace(0, 1, count, endpoint=False), 0.6, 0.6)
    timesteps = np.rint(quantiles * (len(table) - 1)).astype(np.int64)
    kept = np.append(True, np.diff(timesteps) != 0)
    return np.append(table[timesteps[kept]], 0.0).astype(np.float64)


def _linear_quadratic(table: Table, count: int) -> Float64:
    """Mochi's: half of the steps take 1/40 of the way in even strides, the rest go on along a parabola."""
    threshold, linear = 0.025, count // 2
    if count == 1:
        return np.array([float(table[-1]), 0.0])
    quadratic, steps = count - linear, np.arange(count)
    excess = linear - threshold * count
    a = excess / (linear * quadratic**2)
    b = threshold / linear - 2 * excess / quadratic**2
    way = np.where(steps < linear, steps * threshold / linear, a * steps**2 + b * steps + a * linear**2)
    return np.append(1 - way, 0.0) * float(table[-1])


def _kl_optimal(table: Table, count: int) -> Float64:
    """Even steps of arctan σ, from "Align Your Steps" (arXiv:2404.14507)."""
    low, high = math.atan(float(table[0])), math.atan(float(table[-1]))
    return np.append(np.tan(np.linspace(high, low, count)), 0.0)


SIGMA_SCHEDULES: dict[str, Callable[[Table, int], Float64]] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "normal": _normal,
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim_uniform,
    "beta": _beta,
    "linear_quadratic": _linear_quadratic,
    "kl_optimal": _kl_optimal,
}

# How the classes' solvers evaluate: once a step; again at its end; half way in log σ; half way to σ'²/σ, which is σ'.
_ONCE, _END, _MIDDLE, _BELOW = "once", "end", "middle", "below"
EVALUATES: dict[str, str] = {
    "DDIMScheduler": _ONCE,
    "DDPMScheduler": _ONCE,
    "LMSDiscreteScheduler": _ONCE,
    "EulerDiscreteScheduler": _ONCE,
    "EulerAncestralDiscreteScheduler": _ONCE,
    "DPMSolverMultistepScheduler": _ONCE,
    "DEISMultistepScheduler": _ONCE,
    "UniPCMultistepScheduler": _ONCE,
    "HeunDiscreteScheduler": _END,
    "KDPM2DiscreteScheduler": _MIDDLE,
    "DPMSolverSDEScheduler": _MIDDLE,
    "KDPM2AncestralDiscreteScheduler": _BELOW,
}
# ComfyUI asks for one step more, and leaves out the last but one sigma.
_WITHOUT_PENULTIMATE = (
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
)


def comfy_schedule(name: str, class_name: str, options: Options, count: int) -> Schedule:
    """Make the schedule of a run with one of `SIGMA_SCHEDULES`.

    Args:
        name: a key of `SIGMA_SCHEDULES`.
        class_name: the diffusers class whose solver runs, a key of `EVALUATES`.
        options: of that class; of them the betas count.
        count: num_inference_steps; with some schedules the run has a few more or fewer.

    Raises:
        InputError: the class's solver does not take sigmas as they come.
    """
    if class_name not in EVALUATES or options.get("use_flow_sigmas"):
        raise InputError(
            f"schedule: {class_name} has sigmas of its own and takes none of ComfyUI's; expected None, or a sampler of "
            f"{', '.join(EVALUATES)}"
        )
    table = ve_sigmas(options, _LAST_ALPHA)
    if class_name in _WITHOUT_PENULTIMATE:
        sigmas = np.delete(SIGMA_SCHEDULES[name](table, count + 1), -2)
    else:
        sigmas = SIGMA_SCHEDULES[name](table, count)
    evaluated = _evaluated(sigmas, EVALUATES[class_name])
    distances = np.abs(np.log(evaluated[:-1, None]) - np.log(table.astype(np.float64)))
    highest, top = float(sigmas[0]), float(table[-1])
    whole = highest > top or math.isclose(highest, top, rel_tol=1e-5)
    return chained(
        evaluated,
        distances.argmin(axis=1).astype(np.float64),
        count=len(sigmas) - 1,
        form="ve",
        initial_scale=math.sqrt(1 + highest**2) if whole else highest,
        order=1 if EVALUATES[class_name] == _ONCE else 2,
    )


def _evaluated(sigmas: Float64, where: str) -> Float64:
    """The sigmas at which the network is asked, and the last; the step to 0 evaluates at its beginning alone."""
    if where == _ONCE:
        return sigmas
    begins, ends = sigmas[:-1], sigmas[1:-1]
    between = np.sqrt(begins[:-1] * ends) if where == _MIDDLE else ends
    return np.append(interleaved(begins, between), 0.0)


def _at(table: Table, timesteps: Float64) -> Float64:
    """σ at fractional timesteps, interpolated in log σ."""
    return np.exp(np.interp(timesteps, np.arange(len(table)), np.log(table.astype(np.float64))))
