"""DPMSolverSinglestepScheduler.

Where diffusers cannot compute: `thresholding` with algorithm_type dpmsolver reads tables at no timestep, and fails on
shapes; here ε is taken again from the x₀ that was clipped, as in the multistep class. Last steps of length 0 as there.
"""

import math

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
)
from latentrt.schedule.classes.dpmsolver_multistep import ended, refuse_unmade
from latentrt.schedule.classes.multistep import FLOW, RENAMED, WITH_FLOW, read_by_flow, visited
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    refuse_unmade(options)
    return ended(options, *visited(options, steps))


DPMSOLVER_SINGLESTEP = SchedulerClass(
    defaults={
        **{key: value for key, value in COMMON.items() if key != "steps_offset"},
        **THRESHOLDING,
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": False,
        **SIGMA_RAMPS,
        **FLOW,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
    },
    build=_build,
    supported={
        "prediction_type": WITH_FLOW,
        "solver_order": (1, 2, 3),
        "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver++"),
        "time_shift_type": ("exponential",),
    },
    custom=("timesteps", "mu"),
    predicts=read_by_flow,
    carried=BOUNDS,
    renamed=RENAMED,
)
