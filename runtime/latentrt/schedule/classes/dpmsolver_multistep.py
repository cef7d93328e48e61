"""DPMSolverMultistepScheduler."""

import math

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    SIGMA_RAMPS,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
    chained,
    last_sigma,
    ramp_of,
    ve_sigmas,
    within,
)
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.schedule import Schedule
from latentrt.schedule.spacing import spaced_multistep


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    train_sigmas = ve_sigmas(options)
    train = len(train_sigmas)
    # λ = −log σ; timesteps whose λ falls below the clip are left out.
    clipped = int(np.searchsorted(-np.log(train_sigmas[::-1]), options["lambda_min_clipped"]))
    ramp = ramp_of(options)
    if ramp is None:
        spacing, offset = options["timestep_spacing"], options["steps_offset"]
        timesteps = within(spaced_multistep(spacing, count, train, train - clipped, offset), train)
        sigmas = np.interp(timesteps, np.arange(train), train_sigmas)
    else:
        sigmas = RAMPS[ramp](float(train_sigmas[-1]), float(train_sigmas[0]), count)
        timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas))
        rounds = (
            ramp in ("use_karras_sigmas", "use_lu_lambdas")
            and options["beta_schedule"] != "squaredcos_cap_v2"
        )
        timesteps = timesteps.round() if rounds else np.trunc(timesteps)  # an int64 tensor in the end
    return chained(np.append(sigmas, last_sigma(options, train_sigmas)), timesteps)


DPMSOLVER_MULTISTEP = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": True,
        "euler_at_final": False,
        **SIGMA_RAMPS,
        "use_lu_lambdas": False,
        "use_flow_sigmas": False,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
        "use_dynamic_shifting": False,
    },
    build=_build,
    supported={
        "final_sigmas_type": ("zero", "sigma_min"),
        "solver_order": (1, 2),
        "algorithm_type": ("dpmsolver++",),
        "solver_type": ("midpoint", "heun"),
        "use_flow_sigmas": (False,),
        "variance_type": (None,),
        "use_dynamic_shifting": (False,),
    },
)
