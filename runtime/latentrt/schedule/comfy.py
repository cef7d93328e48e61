"""Runs along k-diffusion's kind of sigmas: where each solver evaluates, and what the network is told there.

What programs do otherwise than each other is a `Convention`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes.common import Float64, Options, chained
from latentrt.schedule.ramps import timestep_at
from latentrt.schedule.schedule import Schedule
from latentrt.schedule.sigma_table import Rounded, SigmaTable, sigma_table
from latentrt.schedule.sigmas import FORMULAS, TAKE_RHO, Program

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
# Solvers for which ComfyUI asks for one step more, and leaves out the last but one sigma; of a schedule that follows no
# program, those of these classes.
_WITHOUT_PENULTIMATE = (
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
)
Told: TypeAlias = Literal["nearest", "nearest_float32", "fractional"]
Scaled: TypeAlias = Literal["sigma", "variance", "whole"]


@dataclass(frozen=True)
class Convention:
    """How a program runs along sigmas.

    Attributes:
        meant_by: whose formula, where two programs have different ones of a name.
        rounded: how the model's table of sigmas is.
        timesteps: what the network is told: the training timestep whose σ is nearest in log σ, the lower of two that
            are as near, in float64 or float32; or a fraction, linear in log σ.
        scaled: what unit noise is multiplied by: σ₀; as "variance" √(1 + σ₀²); or, as "whole", that where σ₀ is the
            model's highest.
        without_penultimate: samplers that are made for one step more, and leave out the last but one sigma. None: by
            the class, as ComfyUI has it.
        ends: sampler -> where its runs end in place of 0.
        strides: sampler -> of how many training timesteps it knows the last alone, and tells the network the nearest of
            these.
    """

    meant_by: Program = "comfyui"
    rounded: Rounded = "products"
    timesteps: Told = "nearest"
    scaled: Scaled = "whole"
    without_penultimate: frozenset[str] | None = None
    ends: Mapping[str, float] = field(default_factory=dict)
    strides: Mapping[str, int] = field(default_factory=dict)


NO_PROGRAM = Convention()  # of a run that follows no program: ComfyUI's but for the number type


def comfy_schedule(
    name: str,
    class_name: str,
    options: Options,
    count: int,
    *,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    rho: float | None = None,
    discard_penultimate: bool = False,
    convention: Convention = NO_PROGRAM,
    key: str = "",
) -> Schedule:
    """Make the schedule of a run with one of `FORMULAS`.

    Args:
        name: a key of `FORMULAS`, of the program that is meant.
        class_name: the diffusers class whose solver runs, a key of `EVALUATES`.
        options: of that class; of them the betas count.
        count: num_inference_steps; with some schedules the run has a few more or fewer.
        sigma_min: the lower end of a schedule between two ends; None: the table's.
        sigma_max: the upper end; None: the table's.
        rho: of a schedule that takes one; None: its own.
        discard_penultimate: leave out the last but one sigma of one step more, whatever the solver.
        convention: of the program that the run follows.
        key: of the sampler, by which a program tells those that leave out a sigma.

    Raises:
        InputError: the class's solver does not take sigmas as they come, or the schedule no ρ; the ends are none.
    """
    if class_name not in EVALUATES or options.get("use_flow_sigmas"):
        raise InputError(
            f"schedule: {class_name} has sigmas of its own and takes none of ComfyUI's; expected None, or a sampler of "
            f"{', '.join(EVALUATES)}"
        )
    table = sigma_table(options, convention.rounded)
    if (stride := convention.strides.get(key)) is None:
        timestep_of = _TOLD[convention.timesteps](table)
    else:
        table = table.every(stride)
        nearest = _nearest_float32(table)
        timestep_of = partial(_last_of, nearest, stride)
    ends = table.between(sigma_min, sigma_max)
    leavers = convention.without_penultimate
    leaves = class_name in _WITHOUT_PENULTIMATE if leavers is None else key in leavers
    more = discard_penultimate or leaves
    sigmas = _made(name, ends, count + more, convention.meant_by, rho).astype(np.float64)
    sigmas = np.delete(sigmas, -2) if more else sigmas
    sigmas[-1] = convention.ends.get(key, sigmas[-1])
    asked_at = evaluated(sigmas, class_name)
    highest, top = float(sigmas[0]), float(table.sigmas[-1])
    whole = highest > top or math.isclose(highest, top, rel_tol=1e-5)
    by_variance = convention.scaled == "variance" or (convention.scaled == "whole" and whole)
    made = chained(
        asked_at,
        np.array([timestep_of(sigma) for sigma in asked_at[:-1].tolist()]),
        count=len(sigmas) - 1,
        form="ve",
        initial_scale=math.sqrt(1 + highest**2) if by_variance else highest,
        order=1 if EVALUATES[class_name] == _ONCE else 2,
    )
    return replace(made, timestep_of=timestep_of)


def _nearest(table: SigmaTable) -> Callable[[float], float]:
    logs = np.log(table.sigmas.astype(np.float64))
    return lambda sigma: float(np.abs(logs - math.log(sigma)).argmin())


def _nearest_float32(table: SigmaTable) -> Callable[[float], float]:
    return lambda sigma: float(np.abs(table.logs - np.float32(math.log(np.float32(sigma)))).argmin())


def _fractional(table: SigmaTable) -> Callable[[float], float]:
    return partial(timestep_at, table.logs.astype(np.float64))


def _last_of(nearest: Callable[[float], float], stride: int, sigma: float) -> float:
    return stride * nearest(sigma) + stride - 1


_TOLD: Mapping[Told, Callable[[SigmaTable], Callable[[float], float]]] = {
    "nearest": _nearest,
    "nearest_float32": _nearest_float32,
    "fractional": _fractional,
}


def _made(
    name: str, table: SigmaTable, count: int, meant_by: Program, rho: float | None
) -> NDArray[np.float32]:
    if rho is None:
        return FORMULAS[meant_by][name](table, count)
    if name not in TAKE_RHO:
        raise InputError(f"rho: {name} has none; expected None, or the schedule {' or '.join(TAKE_RHO)}")
    return TAKE_RHO[name](table, count, rho)


def evaluated(sigmas: Float64, class_name: str) -> Float64:
    """The sigmas at which a class's solver asks the network, and the last; a step to 0 asks at its beginning alone."""
    where = EVALUATES[class_name]
    if where == _ONCE:
        return sigmas
    begins, ends = sigmas[:-1], sigmas[1:]
    twice = len(ends) if ends[-1] > 0 else len(ends) - 1
    between = np.sqrt(begins[:twice] * ends[:twice]) if where == _MIDDLE else ends[:twice]
    asked_at = np.empty(len(begins) + twice)
    asked_at[0 : 2 * len(begins) : 2], asked_at[1::2] = begins, between
    return np.append(asked_at, sigmas[-1])
