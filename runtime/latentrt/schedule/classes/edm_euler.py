"""EDMEulerScheduler, and what EDMDPMSolverMultistepScheduler shares with it."""

import math
from typing import Any

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.classes.common import Float64, Options, SchedulerClass, Steps, chained
from latentrt.schedule.options import ConfigError
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.schedule import Schedule

EDM_DEFAULTS: dict[str, Any] = {
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}
EDM_SUPPORTED = {
    "prediction_type": ("epsilon", "v_prediction"),
}


def _build(options: Options, steps: Steps) -> Schedule:
    """The schedule of a run; `sigmas`, where given, are places on the ramp: 0 for `sigma_max`, 1 for `sigma_min`."""
    low, high, rho = edm_range(options)
    sigmas: Float64
    if options["sigma_schedule"] == "exponential":  # which takes no account of places given, only of how many
        sigmas = np.exp(np.linspace(math.log(low), math.log(high), steps.count))[::-1]
    else:
        places = np.linspace(0, 1, steps.count) if steps.sigmas is None else steps.sigmas
        if np.any(np.diff(places) <= 0) or places[0] < 0 or places[-1] > 1:
            raise InputError(
                "sigmas: expected places on the ramp of sigmas that rise from at least 0 to at most 1"
            )
        sigmas = (high ** (1 / rho) + places * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    last = sigmas[-1] if options["final_sigmas_type"] == "sigma_min" else 0.0
    timesteps = 0.25 * np.log(sigmas.astype(np.float32))  # c_noise, arXiv:2206.00364 table 1
    return chained(
        np.append(sigmas, last), timesteps.astype(np.float64), form="ve", initial_scale=math.hypot(1, high)
    )


def edm_range(options: Options) -> tuple[float, float, float]:
    """The lowest and the highest sigma, and rho of the ramp between them.

    Raises:
        ConfigError: one of the two is missing, or they have changed places.
    """
    low, high, rho = options["sigma_min"], options["sigma_max"], options["rho"]
    if low is None or high is None or low > high:
        raise ConfigError(
            f"sigma_min, sigma_max: expected two numbers, the second not below the first, got {low}, {high}"
        )
    return low, high, rho


def predicts_edm(options: Options) -> Prediction:
    """Read a preconditioned network, of input x / √(σ² + σ_data²)."""
    return Prediction(options["prediction_type"], sigma_data=options["sigma_data"])


EDM_EULER = SchedulerClass(
    defaults=EDM_DEFAULTS,
    build=_build,
    supported=EDM_SUPPORTED,
    custom=("sigmas",),
    predicts=predicts_edm,
)
