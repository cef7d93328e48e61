"""The order of each solver, measured where the answer is known: data drawn from N(μ, s²). Needs no torch.

The denoiser has a closed form, D(x; σ) = (s²·x + σ²·μ)/(s² + σ²), and so has the path of the ODE:
x(σ) = μ + (x(σ₀) − μ)·√((s² + σ²)/(s² + σ₀²)).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentrt.noise import TorchGenerator
from latentrt.noise.torch_cpu import Float64Generator
from latentrt.samplers.ddim import ddim
from latentrt.samplers.ddpm import ddpm
from latentrt.samplers.deis import deis
from latentrt.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpm_sde import dpm_sde
from latentrt.samplers.dpm_singlestep import dpm_singlestep
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.flow_euler import flow_euler
from latentrt.samplers.heun import heun
from latentrt.samplers.ipndm import ipndm
from latentrt.samplers.lms import lms
from latentrt.samplers.pndm import pndm
from latentrt.samplers.sa_solver import sa_solver
from latentrt.samplers.unipc import unipc
from latentrt.schedule import Evaluation, Schedule
from parity.case import Drawn

MEAN, DEVIATION = 0.7, 0.5
HIGHEST, LOWEST = 10.0, 0.05
COUNTS = (96, 192, 384, 768)
# Evaluations that multistep solvers need to have all their outputs; what lower orders lose until then is not counted.
SETTLED = 12


def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
    """The best estimate of x₀."""
    return (DEVIATION**2 * x + at.sigma**2 * MEAN) / (DEVIATION**2 + at.sigma**2)


def _schedule(sigmas: np.ndarray, count: int) -> Schedule:
    n = len(sigmas) - 1
    return Schedule(sigmas, np.linspace(999, 1, n), count, sigmas[1:].copy(), sigmas[:-1].copy())


def even(count: int) -> Schedule:
    """Even steps in log σ."""
    return _schedule(np.geomspace(HIGHEST, LOWEST, count + 1), count)


def straight(count: int) -> Schedule:
    """Even steps in σ."""
    return _schedule(np.linspace(HIGHEST, LOWEST, count + 1), count)


def pairs(count: int) -> Schedule:
    """Each step evaluated at both ends, as Heun does; but for the last."""
    sigmas = np.geomspace(HIGHEST, LOWEST, count + 1)
    return _schedule(np.concatenate([sigmas[:1], np.repeat(sigmas[1:-1], 2), sigmas[-1:]]), count)


def middles(count: int) -> Schedule:
    """Each step evaluated at its beginning and half way in log σ; but for the last."""
    sigmas = np.geomspace(HIGHEST, LOWEST, count + 1)
    both = np.stack([sigmas[:-1], np.sqrt(sigmas[:-1] * sigmas[1:])], axis=1).ravel()
    return _schedule(np.concatenate([both[:-1], sigmas[-1:]]), count)


def doubled(count: int) -> Schedule:
    """The first step made twice, as PLMS does."""
    sigmas = np.geomspace(HIGHEST, LOWEST, count + 1)
    twice = np.concatenate([sigmas[:2], sigmas[1:]])
    return Schedule(twice, np.zeros(count + 1), count, twice[1:].copy(), np.append(sigmas[:1], sigmas[:-1]))


@dataclass(frozen=True)
class Solver:
    """A deterministic solver with its options.

    Attributes:
        class_name: the diffusers class that it is behind.
        label: its options, in words.
        solver: the generator function.
        order: that it should show.
        options: its keywords.
        layout: count → schedule.
        counts: of steps, over which the order is fitted.
    """

    class_name: str
    label: str
    solver: Callable[..., Any]
    order: float
    options: dict[str, Any] = field(default_factory=dict)
    layout: Callable[[int], Schedule] = even
    counts: tuple[int, ...] = COUNTS


def error(solver: Solver, count: int) -> float:
    """How far the end of a run of so many steps is from the path through the state at which the solver had settled."""
    x = TorchGenerator(0).randn((2, 4, 3, 3), np.float64) * HIGHEST
    schedule = solver.layout(count)
    states = [step.x for step in solver.solver(denoise, x, schedule, TorchGenerator(1), **solver.options)]
    settled = SETTLED + len(schedule) % 2 if solver.layout is doubled else SETTLED
    start, sigma = states[settled - 1], schedule.sigmas[settled]
    shrunk = math.sqrt((DEVIATION**2 + LOWEST**2) / (DEVIATION**2 + sigma**2))
    return float(np.abs(states[-1] - (MEAN + (start - MEAN) * shrunk)).max())


def order(solver: Solver) -> float:
    """The slope of log error over log steps."""
    errors = [error(solver, count) for count in solver.counts]
    return float(-np.polyfit(np.log(solver.counts), np.log(errors), 1)[0])


def _dpm(name: str, solver: Any, orders: dict[int, float], **options: Any) -> list[Solver]:
    label = ", ".join(value for value in options.values() if isinstance(value, str))
    return [
        Solver(
            name,
            f"order {n}{', ' + label if label else ''}",
            solver,
            expected,
            {"solver_order": n, **options},
        )
        for n, expected in orders.items()
    ]


def _silent(timestep: float) -> float:
    return 0.0


SOLVERS: list[Solver] = [
    Solver("DDIMScheduler", "eta 0", ddim, 1),
    Solver("PNDMScheduler", "PLMS", pndm, 2, layout=doubled),
    *(Solver("LMSDiscreteScheduler", f"order {n}", lms, n, {"order": n}) for n in (1, 2, 3, 4)),
    Solver("EulerDiscreteScheduler", "", euler, 1),
    Solver("EDMEulerScheduler", "", euler, 1),
    Solver("FlowMatchEulerDiscreteScheduler", "", flow_euler, 1),
    Solver("HeunDiscreteScheduler", "", heun, 2, layout=pairs),
    Solver("KDPM2DiscreteScheduler", "", dpm_2, 2, layout=middles),
    *_dpm("DPMSolverMultistepScheduler", dpm_multistep, {1: 1, 2: 2, 3: 2}),
    *_dpm("DPMSolverMultistepScheduler", dpm_multistep, {2: 2}, solver_type="heun"),
    *_dpm("DPMSolverMultistepScheduler", dpm_multistep, {1: 1, 2: 2, 3: 2}, algorithm_type="dpmsolver"),
    *_dpm("EDMDPMSolverMultistepScheduler", dpm_multistep, {1: 1, 2: 2, 3: 2}),
    *_dpm("DPMSolverSinglestepScheduler", dpm_singlestep, {1: 1, 2: 2, 3: 3}),
    *_dpm("DPMSolverSinglestepScheduler", dpm_singlestep, {1: 1, 2: 2, 3: 3}, algorithm_type="dpmsolver"),
    *_dpm("DEISMultistepScheduler", deis, {1: 1, 2: 2, 3: 3}),
    *_dpm("UniPCMultistepScheduler", unipc, {1: 2, 2: 3, 3: 4}, solver_type="bh2", lower_order_final=False),
    *_dpm("UniPCMultistepScheduler", unipc, {1: 2, 2: 3, 3: 4}, solver_type="bh1", lower_order_final=False),
    Solver("IPNDMScheduler", "even σ", ipndm, 4, layout=straight, counts=(384, 768, 1536, 3072)),
    *(
        Solver(
            "SASolverScheduler",
            f"tau 0, orders {p} and {c}",
            sa_solver,
            max(p, c),
            {"predictor_order": p, "corrector_order": c, "tau_func": _silent, "lower_order_final": False},
        )
        for p, c in ((1, 1), (2, 2), (3, 3))
    ),
]


@dataclass(frozen=True)
class Stochastic:
    """A solver that adds noise: what it ends in is drawn from the data's own distribution."""

    class_name: str
    label: str
    solver: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    layout: Callable[[int], Schedule] = even


def _always(timestep: float) -> float:
    return 1.0


STOCHASTIC: list[Stochastic] = [
    Stochastic("DDIMScheduler", "eta 1", ddim, {"eta": 1.0}),
    Stochastic("DDPMScheduler", "", ddpm),
    Stochastic("EulerAncestralDiscreteScheduler", "", euler_ancestral),
    Stochastic("EulerDiscreteScheduler", "s_churn 20", euler, {"s_churn": 20.0}),
    Stochastic("KDPM2AncestralDiscreteScheduler", "", dpm_2_ancestral, layout=middles),
    Stochastic(
        "DPMSolverMultistepScheduler", "sde-dpmsolver++", dpm_multistep, {"algorithm_type": "sde-dpmsolver++"}
    ),
    Stochastic(
        "DPMSolverMultistepScheduler", "sde-dpmsolver", dpm_multistep, {"algorithm_type": "sde-dpmsolver"}
    ),
    Stochastic(
        "DPMSolverSinglestepScheduler",
        "sde-dpmsolver++",
        dpm_singlestep,
        {"algorithm_type": "sde-dpmsolver++"},
    ),
    Stochastic("DPMSolverSDEScheduler", "", dpm_sde, layout=middles),
    Stochastic("SASolverScheduler", "tau 1", sa_solver, {"tau_func": _always}),
]


def moments(solver: Stochastic, count: int = 200) -> tuple[float, float]:
    """Mean and deviation of 10,000 samples, taken to σ = `LOWEST`, over what they should be there."""
    rng = TorchGenerator(0)
    x = MEAN + rng.randn((100, 1, 10, 10), np.float64) * math.hypot(HIGHEST, DEVIATION)
    options = dict(solver.options)
    if solver.solver is dpm_sde:  # a path of its own would be kept whole
        options["path"] = Drawn(Float64Generator(rng), x.shape)
    *_, last = solver.solver(denoise, x, solver.layout(count), rng, **options)
    return float(last.x.mean() - MEAN), float(last.x.std() / math.hypot(DEVIATION, LOWEST))
