"""SASolverScheduler.

Where diffusers cannot compute: `thresholding` with noise_prediction reads tables at no timestep, and fails on shapes;
here ε is taken again from the x₀ that was clipped. It sums its polynomials in λ itself, not in λ less that of the step:
of float32 then little is left at orders 3 and 4 (differences of up to 4e-2, where in float64 the two agree to 1e-14).
"""

import math
from dataclasses import replace

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
    vp_sigmas,
)
from latentrt.schedule.classes.deis_multistep import ended_above_zero
from latentrt.schedule.classes.multistep import WITH_FLOW, read_by_flow, visited
from latentrt.schedule.options import ConfigError
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    schedule = ended_above_zero(options, *visited(options, steps))
    if schedule.sigmas[-1] == 0:
        betas = "beta_start" if options["trained_betas"] is None else "trained_betas"
        raise ConfigError(
            f"{betas}: the solver ends at the noise of timestep 0; expected some, not a beta of 0"
        )
    # `add_noise` goes by timesteps; sigmas of another kind lie next to theirs, times of flow far from them. (A timestep
    # that is no number is refused with the schedule.)
    index = np.nan_to_num(schedule.timesteps).astype(np.int64)
    return replace(schedule, added=vp_sigmas(options)[index])


SASOLVER = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "predictor_order": 2,
        "corrector_order": 2,
        "tau_func": None,
        "algorithm_type": "data_prediction",
        "lower_order_final": True,
        **SIGMA_RAMPS,
        "use_flow_sigmas": False,
        "flow_shift": 1.0,
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
        "timestep_spacing": "linspace",
    },
    build=_build,
    supported={
        "prediction_type": WITH_FLOW,
        "algorithm_type": ("data_prediction", "noise_prediction"),
    },
    predicts=read_by_flow,
    carried=BOUNDS,
)
