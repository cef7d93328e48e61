"""DPMSolverSDEScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    Options,
    SchedulerClass,
    Steps,
    ramp_of,
    sigma_bound,
    ve_sigmas,
    within,
)
from latentrt.schedule.classes.interpolated import evaluated_twice
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.schedule import Schedule
from latentrt.schedule.spacing import spaced


def _build(options: Options, steps: Steps) -> Schedule:
    train_sigmas, count, spacing = ve_sigmas(options), steps.count, options["timestep_spacing"]
    train = len(train_sigmas)
    if spacing == "linspace":
        timesteps = np.linspace(0, train - 1, count)[::-1]  # in float64, where the Euler classes have float32
    else:
        timesteps = within(spaced(spacing, count, train, options["steps_offset"]), train)
    sigmas = np.interp(timesteps, np.arange(train), train_sigmas)
    ramp = ramp_of(options)
    if ramp is not None:
        highest, lowest = float(sigmas[0]), float(sigmas[-1])
        if ramp != "use_karras_sigmas":
            highest = sigma_bound(options, "sigma_max", highest)
            lowest = sigma_bound(options, "sigma_min", lowest)
        sigmas = RAMPS[ramp](highest, lowest, count)
        timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas))
    # Between every two a middle, in log σ.
    t = -np.log(sigmas)
    middles = np.exp(-(t[:-1] + np.diff(t) * 0.5))
    between = sigma_to_timestep(middles, np.log(train_sigmas))
    return evaluated_twice(options, sigmas, timesteps, middles, between)


DPMSOLVER_SDE = SchedulerClass(
    defaults={
        **COMMON,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        **SIGMA_RAMPS,
        "noise_sampler_seed": None,
        "timestep_spacing": "linspace",
    },
    build=_build,
    supported={"prediction_type": ("epsilon", "v_prediction")},
    carried=BOUNDS,
)
