"""TCDScheduler."""

from dataclasses import replace

import numpy as np

from latentrt.schedule.classes.common import (
    Options,
    SchedulerClass,
    Steps,
    chained,
    refuse_blind_epsilon,
    vp_sigmas,
)
from latentrt.schedule.classes.lcm import DISTILLED, distilled_timesteps
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    timesteps, train_sigmas = distilled_timesteps(options, steps), vp_sigmas(options)
    refuse_blind_epsilon(options, train_sigmas, timesteps, clips=False)
    sigmas = np.append(train_sigmas[timesteps.astype(np.int64)], train_sigmas[0])
    return replace(chained(sigmas, timesteps), train_sigmas=train_sigmas)


# `clip_sample`, `thresholding` and `timestep_scaling` change nothing, there as here.
TCD = SchedulerClass(defaults=DISTILLED, build=_build, custom=("timesteps",))
