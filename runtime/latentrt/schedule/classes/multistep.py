"""What the DPM-Solver classes and their kin share: DEIS, SA-Solver, UniPC."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    Float64,
    Options,
    Steps,
    ramp_of,
    shifted,
    sigma_bound,
    ve_sigmas,
    within,
)
from latentrt.schedule.classes.interpolated import descending
from latentrt.schedule.options import ConfigError
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.spacing import spaced_multistep

# `use_dynamic_shifting` acts through the `mu` of a run: flow_shift is then e^mu.
FLOW: dict[str, Any] = {
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}
# Given a config of DEIS or UniPC.
RENAMED = {
    "algorithm_type": {"deis": "dpmsolver++"},
    "solver_type": {"logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"},
}
WITH_FLOW = ("epsilon", "v_prediction", "sample", "flow_prediction")


def read_by_flow(options: Options) -> Prediction:
    """Read a network whose samples are those of rectified flow with `use_flow_sigmas`."""
    return Prediction(options["prediction_type"], form=form_of(options))


def form_of(options: Options) -> str:
    """What such a class calls a sample."""
    return "flow" if options["use_flow_sigmas"] else "vp"


def visited(options: Options, steps: Steps, *, rounded: bool = True) -> tuple[Float64, Float64]:
    """Which timesteps are visited, and their sigmas.

    Args:
        options: of the class; those that it lacks (`timestep_spacing`, `lambda_min_clipped`) are taken as diffusers
            does there.
        steps: the run's; its `timesteps` where given.
        rounded: whether timesteps found from Karras' and Lu's sigmas are rounded; all others are cut to whole numbers.

    Returns:
        timesteps (n,) and sigmas (n,) in sigma space, descending. With `use_flow_sigmas` σ = s/(1 − s).

    Raises:
        InputError: options that contradict each other, timesteps outside of training.
    """
    refuse_unread_flow(options)
    shift = shift_of(options, steps)
    train_sigmas = ve_sigmas(options)
    train, ramp = len(train_sigmas), ramp_of(options)
    if steps.timesteps is not None and (ramp is not None or options["use_flow_sigmas"]):
        raise InputError(
            f"timesteps: the scheduler config fixes them by {ramp or 'use_flow_sigmas'}; expected None"
        )
    if ramp is not None:
        return by_ramp(options, ramp, train_sigmas, steps.count, rounded=rounded)
    if options["use_flow_sigmas"]:
        s = 1.0 - np.linspace(1, 1 / train, steps.count + 1)
        s = np.flip(shifted(s, shift))[:-1]
        return np.trunc(s * train), flow_to_sigma(s)
    if steps.timesteps is not None:
        timesteps = descending(np.trunc(steps.timesteps), options)  # an int64 array in diffusers
    else:
        # λ = −log σ; timesteps whose λ falls below the clip are left out.
        clip = options.get("lambda_min_clipped", -math.inf)
        last = train - int(np.searchsorted(-np.log(train_sigmas[::-1]), clip))
        if last < 1:
            raise ConfigError(f"lambda_min_clipped: {clip} leaves no timestep")
        spacing, offset = options.get("timestep_spacing", "linspace"), options.get("steps_offset", 0)
        timesteps = spaced_multistep(spacing, steps.count, train, last, offset)
    timesteps = within(timesteps, train)
    return timesteps, np.interp(timesteps, np.arange(train), train_sigmas)


def shift_of(options: Options, steps: Steps) -> float:
    """How far the times of flow are shifted towards 1: `flow_shift`, or e^mu.

    Raises:
        InputError: a mu that the config does not ask for.
    """
    if steps.mu is not None and not options["use_dynamic_shifting"]:
        raise InputError("mu: the scheduler config has no use_dynamic_shifting; expected None")
    shift: float = options["flow_shift"] if steps.mu is None else math.exp(steps.mu)
    return shift


def by_ramp(
    options: Options, ramp: str, train_sigmas: NDArray[np.float32], count: int, *, rounded: bool
) -> tuple[Float64, Float64]:
    """Timesteps and sigmas of a ramp between those of training; between `sigma_min` and `sigma_max`, but for Lu's."""
    lowest, highest = float(train_sigmas[0]), float(train_sigmas[-1])
    if ramp != "use_lu_lambdas":
        lowest, highest = (
            sigma_bound(options, "sigma_min", lowest),
            sigma_bound(options, "sigma_max", highest),
        )
    sigmas = RAMPS[ramp](highest, lowest, count)
    timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas))
    rounds = rounded and ramp in ("use_karras_sigmas", "use_lu_lambdas")
    return timesteps.round() if rounds else np.trunc(timesteps), sigmas


def flow_to_sigma(s: Float64) -> Float64:
    """The sigmas of rectified flow's times, σ = s/(1 − s).

    Args:
        s: in [0, 1); rounded to float32 first as diffusers does, which counts where 1 − s is small.
    """
    rounded = np.asarray(s).astype(np.float32).astype(np.float64)
    return rounded / (1 - rounded)


def refuse_unread_flow(options: Options) -> None:
    """Refuse what makes diffusers compute NaN, or mean nothing.

    Raises:
        InputError: Karras' sigmas and the like, which go above 1, as the times of flow; the velocity of flow from a
            network that is fed variance-preserving samples; ε extrapolated of v on the straight path of flow, where
            diffusers' ε and x₀ of one v contradict each other.
    """
    ramp, flow, kind = ramp_of(options), options["use_flow_sigmas"], options["prediction_type"]
    noise = (
        options.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver", "noise_prediction")
        or options.get("predict_x0") is False
    )
    if flow and ramp is not None:
        raise ConfigError(f"{ramp} with use_flow_sigmas: expected one of them, got both")
    if kind == "flow_prediction" and not flow:
        raise ConfigError("prediction_type flow_prediction without use_flow_sigmas; expected both")
    if kind == "v_prediction" and flow and noise:
        raise ConfigError(
            "prediction_type v_prediction with use_flow_sigmas and a solver of noise; expected "
            "flow_prediction, or a solver that predicts x0"
        )
