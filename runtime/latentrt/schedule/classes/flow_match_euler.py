"""FlowMatchEulerDiscreteScheduler.

What it calls a sigma is s here: its sample is (1 − s)·x₀ + s·ε, and σ = s/(1 − s).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    SIGMA_RAMPS,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    chained,
    ramp_of,
    shifted,
)
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.ramps import RAMPS
from latentrt.schedule.schedule import ZERO_SNR_SIGMA, Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    train = options["num_train_timesteps"]
    s = _shares(options, steps)
    single = s.astype(np.float32)
    timesteps = single * np.float32(train)
    if options["invert_sigmas"]:  # Mochi's clock runs from 0 to 1
        single = 1 - single
        timesteps = single * np.float32(train)
        single = 1 - single
    elif steps.timesteps is not None:
        timesteps = steps.timesteps.astype(np.float32)
    sigmas = np.append(sigma_of_share(single.astype(np.float64)), 0.0)
    return chained(sigmas, timesteps.astype(np.float64), form="flow")


def sigma_of_share(s: Float64) -> Float64:
    """σ = s/(1 − s) of the noise's share s of a sample, in [0, 1]; of 1, `ZERO_SNR_SIGMA`."""
    pure = s >= 1
    safe = np.where(pure, 0.0, s)
    return np.where(pure, ZERO_SNR_SIGMA, safe / (1 - safe))


def _shares(options: Options, steps: Steps) -> Float64:
    """The noise's share s at each step, descending: spaced or given, then shifted, stretched and put on a ramp."""
    train, shift = options["num_train_timesteps"], options["shift"]
    dynamic = options["use_dynamic_shifting"]
    if dynamic and steps.mu is None:
        raise InputError(
            "mu: use_dynamic_shifting needs it, by the picture's size; expected a number, got None"
        )
    s: NDArray[Any]
    if steps.sigmas is not None:
        if steps.timesteps is not None and len(steps.timesteps) != len(steps.sigmas):
            raise InputError(
                f"sigmas, timesteps: expected as many of each, got {len(steps.sigmas)} and {len(steps.timesteps)}"
            )
        s = steps.sigmas.astype(np.float32)  # diffusers goes on in float32
    elif steps.timesteps is not None:
        s = steps.timesteps.astype(np.float32) / np.float32(train)
    else:
        # Between the ends of training, which are shifted themselves, and then are shifted again.
        ends = np.array([train, 1], np.float32) / np.float32(train)
        if not dynamic:
            ends = shifted(ends, shift)
        s = np.linspace(float(ends[0]) * train, float(ends[1]) * train, steps.count) / train
    if dynamic:
        mu = float(steps.mu or 0.0)
        weight = math.exp(mu) if options["time_shift_type"] == "exponential" else mu
        s = weight / (weight + (1 / s - 1))
    else:
        s = shifted(s, shift)
    if options["shift_terminal"]:
        if s[-1] >= 1:
            raise InputError(
                "num_inference_steps: shift_terminal stretches a run of two steps or more; expected 2 or more, got 1"
            )
        s = 1 - (1 - s) / ((1 - s[-1]) / (1 - options["shift_terminal"]))
    ramp = ramp_of(options)
    if ramp is not None:
        s = RAMPS[ramp](float(s[0]), float(s[-1]), steps.count)
    return s


def _predicts(options: Options) -> Prediction:
    return Prediction("flow_prediction", form="flow", reversed=bool(options["invert_sigmas"]))


FLOW_MATCH_EULER = SchedulerClass(
    defaults={
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        **SIGMA_RAMPS,
        "time_shift_type": "exponential",
        "stochastic_sampling": False,
    },
    build=_build,
    custom=("timesteps", "sigmas", "mu"),
    predicts=_predicts,
)
