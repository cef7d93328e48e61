"""HeunDiscreteScheduler."""

from latentrt.schedule.classes.common import BOUNDS, COMMON, SIGMA_RAMPS, Options, SchedulerClass, Steps
from latentrt.schedule.classes.interpolated import evaluated_twice, interpolated
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    sigmas, timesteps = interpolated(options, steps)
    # Again where each step ends.
    return evaluated_twice(options, sigmas, timesteps, sigmas[1:], timesteps[1:])


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
