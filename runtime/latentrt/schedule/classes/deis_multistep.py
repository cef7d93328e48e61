"""DEISMultistepScheduler.

diffusers subtracts antiderivatives in log σ, whose float32 digits cancel at third order: differences of 1e-4, and 1e-2
where beta sigmas lie close; in float64 the two agree to 1e-14.
"""

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    THRESHOLDING,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    chained,
    ramp_of,
    ve_sigmas,
)
from latentrt.schedule.classes.multistep import FLOW, WITH_FLOW, form_of, read_by_flow, visited
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    return ended_above_zero(options, *visited(options, steps))


def ended_above_zero(options: Options, timesteps: Float64, sigmas: Float64) -> Schedule:
    """Chain the steps to the sigma of timestep 0; with sigmas of their own kind the last step leads nowhere."""
    repeats = ramp_of(options) is not None or options["use_flow_sigmas"]
    last = sigmas[-1:] if repeats else ve_sigmas(options)[:1]
    return chained(np.concatenate([sigmas, last]), timesteps, form=form_of(options))


DEIS_MULTISTEP = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "solver_order": 2,
        "algorithm_type": "deis",
        "solver_type": "logrho",
        "lower_order_final": True,
        **SIGMA_RAMPS,
        **FLOW,
        "timestep_spacing": "linspace",
    },
    build=_build,
    supported={
        "prediction_type": WITH_FLOW,
        "solver_order": (1, 2, 3),
        "algorithm_type": ("deis",),
        "solver_type": ("logrho",),
        "time_shift_type": ("exponential",),
    },
    custom=("mu",),
    predicts=read_by_flow,
    carried=BOUNDS,
    renamed={
        "algorithm_type": {"dpmsolver": "deis", "dpmsolver++": "deis"},
        "solver_type": {"midpoint": "logrho", "heun": "logrho", "bh1": "logrho", "bh2": "logrho"},
    },
)
