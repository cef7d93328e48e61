"""EulerDiscreteScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    SIGMA_RAMPS,
    Options,
    SchedulerClass,
    Steps,
    chained,
    euler_scale,
    last_sigma,
    ramp_of,
    sigma_bound,
    spaced_timesteps,
    ve_sigmas,
)
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    train_sigmas = ve_sigmas(options)
    timesteps = spaced_timesteps(options, count, integral=False)
    if options["interpolation_type"] == "log_linear":
        # As in diffusers: not the sigmas of `timesteps`, and ending at the lowest whatever `final_sigmas_type` says.
        sigmas = np.exp(np.linspace(np.log(train_sigmas[-1]), np.log(train_sigmas[0]), count + 1))
    else:
        sigmas = np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas)
    ramp = ramp_of(options)
    if ramp is not None:
        highest, lowest = (
            sigma_bound(options, "sigma_max", sigmas[0]),
            sigma_bound(options, "sigma_min", sigmas[-1]),
        )
        sigmas = RAMPS[ramp](highest, lowest, count)
        # diffusers keeps these timesteps in float32, fractions and all.
        timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas)).astype(np.float32).astype(np.float64)
    if len(sigmas) == count:
        sigmas = np.append(sigmas, last_sigma(options, train_sigmas))
    if options["timestep_type"] == "continuous" and options["prediction_type"] == "v_prediction":
        timesteps = 0.25 * np.log(sigmas[:-1])  # c_noise of arXiv:2206.00364, table 1
    return chained(sigmas, timesteps, form="ve", initial_scale=euler_scale(options, sigmas))


EULER = SchedulerClass(
    defaults={
        **COMMON,
        "interpolation_type": "linear",
        **SIGMA_RAMPS,
        "sigma_min": None,
        "sigma_max": None,
        "timestep_spacing": "linspace",
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    build=_build,
    supported={
        "interpolation_type": ("linear", "log_linear"),
        "timestep_type": ("discrete", "continuous"),
        "final_sigmas_type": ("zero", "sigma_min"),
    },
)
