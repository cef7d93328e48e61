"""UniPCMultistepScheduler.

Where diffusers gives NaN: the step to σ = 0 multiplies an infinite B(h) by 0 with `solver_type` bh1 or `predict_x0`
false, and without `lower_order_final`. Here that step is of first order, which is its limit: x₀.
"""

import numpy as np

from latentrt.errors import InputError
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
    shifted,
    ve_sigmas,
)
from latentrt.schedule.classes.multistep import (
    FLOW,
    WITH_FLOW,
    by_ramp,
    flow_to_sigma,
    form_of,
    read_by_flow,
    refuse_unread_flow,
    shift_of,
    visited,
)
from latentrt.schedule.options import ConfigError
from latentrt.schedule.schedule import Schedule

_BELOW_ONE = 1e-6  # how far below 1 the times of flow begin, where λ = −∞


def _build(options: Options, steps: Steps) -> Schedule:
    _check(options, steps)
    train_sigmas, ramp, flow = ve_sigmas(options), ramp_of(options), options["use_flow_sigmas"]
    last = float(train_sigmas[0])
    if ramp is not None:
        timesteps, sigmas = by_ramp(options, ramp, train_sigmas, steps.count, rounded=True)
        if flow:  # the same noise levels, told as times of flow
            s = sigmas / (1 + sigmas)
            timesteps, sigmas = np.trunc(s * len(train_sigmas)), flow_to_sigma(s)
        last = sigmas[-1]
    elif flow:
        s = _flow_times(options, steps)
        timesteps, sigmas = np.trunc(s * len(train_sigmas)), flow_to_sigma(s)
        last = sigmas[-1]
    else:
        timesteps, sigmas = visited(options, steps)
    if options["final_sigmas_type"] == "zero":
        last = 0.0
    return chained(np.append(sigmas, last), timesteps, form=form_of(options))


def _flow_times(options: Options, steps: Steps) -> Float64:
    """Times of rectified flow, from 1 downwards, shifted; (count,)."""
    train = options["num_train_timesteps"]
    s = np.linspace(1, 1 / train, steps.count + 1)[:-1] if steps.sigmas is None else steps.sigmas
    if steps.mu is not None and options["time_shift_type"] == "linear":
        s = steps.mu / (steps.mu + (1 / s - 1))
    else:
        s = shifted(s, shift_of(options, steps))
    if options["shift_terminal"]:
        if s[-1] == 1:
            raise InputError(
                "num_inference_steps: a single step cannot end at shift_terminal; expected 2 or more"
            )
        s = 1 - (1 - s) / ((1 - s[-1]) / (1 - options["shift_terminal"]))  # to end where it says
    if abs(s[0] - 1) < _BELOW_ONE:
        s = np.concatenate([s[:1] - _BELOW_ONE, s[1:]])
    return np.asarray(s)


def _check(options: Options, steps: Steps) -> None:
    """Refuse what diffusers refuses, or computes NaN of.

    Raises:
        InputError: exponential or beta sigmas, which go above 1, as times of flow; a predictor of another class;
            custom sigmas that are no times of flow; a shift without its mu.
    """
    flow, ramp = options["use_flow_sigmas"], ramp_of(options)
    if not (flow and ramp == "use_karras_sigmas"):
        refuse_unread_flow(options)
    if steps.sigmas is not None and (not flow or ramp is not None):
        raise InputError(
            "sigmas: UniPCMultistepScheduler takes those of use_flow_sigmas alone; expected None"
        )
    if options["use_dynamic_shifting"] and steps.mu is None:
        raise InputError("mu: the scheduler config has use_dynamic_shifting; expected a number, got None")
    if options["shift_terminal"] is not None and not flow:
        raise ConfigError("shift_terminal without use_flow_sigmas; expected both")


UNIPC_MULTISTEP = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "solver_order": 2,
        "predict_x0": True,
        "solver_type": "bh2",
        "lower_order_final": True,
        "disable_corrector": [],
        "solver_p": None,
        **SIGMA_RAMPS,
        **FLOW,
        "timestep_spacing": "linspace",
        "final_sigmas_type": "zero",
        "rescale_betas_zero_snr": False,
        **BOUNDS,
        "shift_terminal": None,
    },
    build=_build,
    supported={
        "prediction_type": WITH_FLOW,
        "solver_type": ("bh1", "bh2"),
    },
    custom=("sigmas", "mu"),
    predicts=read_by_flow,
    renamed={"solver_type": {"midpoint": "bh2", "heun": "bh2", "logrho": "bh2"}},
)
