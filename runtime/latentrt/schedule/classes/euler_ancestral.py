"""EulerAncestralDiscreteScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    Options,
    SchedulerClass,
    Steps,
    chained,
    euler_scale,
    spaced_timesteps,
    ve_sigmas,
)
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    train_sigmas = ve_sigmas(options)
    timesteps = spaced_timesteps(options, count, integral=False)
    sigmas = np.append(np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas), 0.0)
    return chained(sigmas, timesteps, form="ve", initial_scale=euler_scale(options, sigmas))


EULER_ANCESTRAL = SchedulerClass(
    defaults={
        **COMMON,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    build=_build,
)
