"""EulerAncestralDiscreteScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    Options,
    SchedulerClass,
    chained,
    spaced_timesteps,
    ve_sigmas,
)
from latentrt.schedule.schedule import Schedule


def _build(options: Options, count: int) -> Schedule:
    train_sigmas = ve_sigmas(options)
    timesteps = spaced_timesteps(options, count, integral=False)
    sigmas = np.append(np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas), 0.0)
    unit = options["timestep_spacing"] == "leading"
    return chained(sigmas, timesteps, unit_variance=unit, variance_preserving=False)


EULER_ANCESTRAL = SchedulerClass(
    defaults={
        **COMMON,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    build=_build,
)
