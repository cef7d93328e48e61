"""EDMDPMSolverMultistepScheduler.

`sde-dpmsolver++` has no third order in diffusers (UnboundLocalError); here it is that of DPMSolverMultistepScheduler.
"""

import math

import numpy as np

from latentrt.schedule.betas import linspace
from latentrt.schedule.classes.common import THRESHOLDING, Options, SchedulerClass, Steps, chained
from latentrt.schedule.classes.edm_euler import EDM_DEFAULTS, EDM_SUPPORTED, edm_range, predicts_edm
from latentrt.schedule.classes.multistep import RENAMED
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    low, high, rho = edm_range(options)
    # In float32 as there, since the network is told c_noise of these very sigmas.
    if options["sigma_schedule"] == "karras":
        top, bottom = np.float32(high ** (1 / rho)), low ** (1 / rho) - high ** (1 / rho)
        sigmas = (top + linspace(0, 1, steps.count) * np.float32(bottom)).astype(np.float64) ** rho
    else:  # a single step begins at sigma_min, and is given noise of sigma_max all the same, as in diffusers
        sigmas = np.exp(linspace(math.log(low), math.log(high), steps.count)[::-1].astype(np.float64))
    sigmas = sigmas.astype(np.float32)
    timesteps = np.float32(0.25) * np.log(sigmas)  # c_noise, arXiv:2206.00364 table 1
    last = low if options["final_sigmas_type"] == "sigma_min" else 0.0
    return chained(
        np.append(sigmas.astype(np.float64), float(np.float32(last))),
        timesteps.astype(np.float64),
        form="ve",
        initial_scale=math.sqrt(high**2 + 1),
    )


EDM_DPMSOLVER_MULTISTEP = SchedulerClass(
    defaults={
        **EDM_DEFAULTS,
        **THRESHOLDING,
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": True,
        "euler_at_final": False,
    },
    build=_build,
    supported={
        **EDM_SUPPORTED,
        "solver_order": (1, 2, 3),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
    },
    predicts=predicts_edm,
    renamed=RENAMED,
)
