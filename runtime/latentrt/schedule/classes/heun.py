"""HeunDiscreteScheduler."""

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
    sigmas, timesteps = interpolated(options, steps)
    # Each step but the last, to σ = 0, evaluates again where it ends.
    return chained(
        np.append(np.concatenate([sigmas[:1], sigmas[1:].repeat(2)]), 0.0),
        np.concatenate([timesteps[:1], timesteps[1:].repeat(2)]),
        count=steps.count,
        form="ve",
        initial_scale=euler_scale(options, sigmas),
        order=2,
    )


HEUN = SchedulerClass(
    defaults={
        **COMMON,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        **SIGMA_RAMPS,
        "clip_sample": False,
        "clip_sample_range": 1.0,
        "timestep_spacing": "linspace",
    },
    build=_build,
    supported={"beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "exp")},
    custom=("timesteps",),
    carried=BOUNDS,
)
