"""LMSDiscreteScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    SIGMA_RAMPS,
    Options,
    SchedulerClass,
    Steps,
    chained,
    euler_scale,
)
from latentrt.schedule.classes.interpolated import interpolated
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    sigmas, timesteps = interpolated(options, steps)
    return chained(np.append(sigmas, 0.0), timesteps, form="ve", initial_scale=euler_scale(options, sigmas))


LMS = SchedulerClass(
    defaults={**COMMON, **SIGMA_RAMPS, "timestep_spacing": "linspace"},
    build=_build,
)
