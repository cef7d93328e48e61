"""DPMSolverMultistepScheduler.

Where diffusers cannot compute: a last step of length 0 (`final_sigmas_type` sigma_min after Karras' sigmas and the
like) makes it divide 0 by 0 with `solver_type` heun and at third order, and take the root of a rounding with the sde-
algorithms; here nothing happens in such a step. `sde-dpmsolver` has no third order there (UnboundLocalError); here it
goes on as the second begins.
"""

import math

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
    chained,
    ve_sigmas,
)
from latentrt.schedule.classes.multistep import (
    FLOW,
    RENAMED,
    WITH_FLOW,
    flow_to_sigma,
    form_of,
    read_by_flow,
    visited,
)
from latentrt.schedule.options import ConfigError
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    refuse_unmade(options)
    timesteps, sigmas = visited(options, steps, rounded=options["beta_schedule"] != "squaredcos_cap_v2")
    return ended(options, timesteps, sigmas)


def ended(options: Options, timesteps: np.ndarray, sigmas: np.ndarray) -> Schedule:
    """Chain the steps to their last sigma: 0, or that of timestep 0 (which diffusers takes for a time of flow, too)."""
    last = (
        np.zeros(1) if options["final_sigmas_type"] == "zero" else ve_sigmas(options)[:1].astype(np.float64)
    )
    if options["use_flow_sigmas"]:
        last = flow_to_sigma(last)
    return chained(np.concatenate([sigmas, last]), timesteps, form=form_of(options))


def refuse_unmade(options: Options) -> None:
    """Refuse what diffusers refuses.

    Raises:
        InputError: noise as output at σ = 0.
    """
    algorithm = options["algorithm_type"]
    if not algorithm.endswith("++") and options["final_sigmas_type"] == "zero":
        raise ConfigError(
            f"algorithm_type {algorithm} divides by the last sigma; expected final_sigmas_type "
            "sigma_min, or an algorithm_type with ++"
        )


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
        **FLOW,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    build=_build,
    supported={
        "prediction_type": WITH_FLOW,
        "solver_order": (1, 2, 3),
        "time_shift_type": ("exponential",),
    },
    custom=("timesteps", "mu"),
    predicts=read_by_flow,
    carried=BOUNDS,
    renamed=RENAMED,
)
