"""PNDMScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    Options,
    SchedulerClass,
    Steps,
    spaced_timesteps,
    strided,
    vp_sigmas,
)
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    timesteps = spaced_timesteps(options, count)
    # PLMS begins with a second-order step of two evaluations, the second of which is at the next timestep.
    if count > 1:
        timesteps = np.concatenate([timesteps[:2], timesteps[1:]])
    return strided(options, count, timesteps, vp_sigmas(options))


PNDM = SchedulerClass(
    defaults={
        **COMMON,
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "leading",
    },
    build=_build,
    supported={"skip_prk_steps": (True,)},
)
