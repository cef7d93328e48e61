"""LMSDiscreteScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
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
    if options["use_karras_sigmas"]:
        options = {**options, **BOUNDS}  # these alone heed no bounds
    sigmas, timesteps = interpolated(options, steps)
    return chained(np.append(sigmas, 0.0), timesteps, form="ve", initial_scale=euler_scale(options, sigmas))


LMS = SchedulerClass(
    defaults={**COMMON, **SIGMA_RAMPS, "timestep_spacing": "linspace"},
    build=_build,
    carried=BOUNDS,
)
