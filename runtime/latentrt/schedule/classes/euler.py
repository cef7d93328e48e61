"""EulerDiscreteScheduler."""

from dataclasses import replace

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    COMMON,
    SIGMA_RAMPS,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    chained,
    euler_scale,
    last_sigma,
    ve_sigmas,
)
from latentrt.schedule.classes.interpolated import float_timesteps, ramped
from latentrt.schedule.ramps import sigma_to_timestep
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    continuous = options["timestep_type"] == "continuous" and options["prediction_type"] == "v_prediction"
    if steps.timesteps is not None and (steps.sigmas is not None or continuous):
        other = "sigmas" if steps.sigmas is not None else "timestep_type continuous"
        raise InputError(f"timesteps: expected None with {other}, from which they follow; got a list")
    if steps.sigmas is not None:
        sigmas, timesteps = _given(options, steps.sigmas)
    else:
        sigmas, timesteps = _spaced(options, steps)
    count, between = len(timesteps), len(sigmas) - 1
    if continuous:
        timesteps = 0.25 * np.log(sigmas[:-1])  # c_noise of arXiv:2206.00364, table 1
    made = chained(
        sigmas[: len(timesteps) + 1],
        timesteps,
        count=count,
        form="ve",
        initial_scale=euler_scale(options, sigmas),
    )
    return replace(made, churn_steps=between)


def _spaced(options: Options, steps: Steps) -> tuple[Float64, Float64]:
    """The sigmas of a run and the last, and as many timesteps; of log_linear without a ramp one sigma more."""
    train_sigmas = ve_sigmas(options)
    timesteps = float_timesteps(options, steps)
    if options["interpolation_type"] == "log_linear":
        # As in diffusers: not the sigmas of `timesteps`, and n + 1 of them, with the last behind those. A run takes as
        # many steps as there are timesteps, so that it ends at the lowest, whatever `final_sigmas_type` says; but for
        # continuous timesteps, of which each sigma has one.
        sigmas = np.exp(np.linspace(np.log(train_sigmas[-1]), np.log(train_sigmas[0]), steps.count + 1))
    else:
        sigmas = np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas)
    sigmas, timesteps = ramped(options, steps, sigmas, timesteps, train_sigmas)
    return np.append(sigmas, last_sigma(options, train_sigmas)), timesteps


def _given(options: Options, sigmas: Float64) -> tuple[Float64, Float64]:
    """The sigmas given, the last of which is where the run ends, and their timesteps, in float32 as in diffusers."""
    if len(sigmas) < 2 or np.any(np.diff(sigmas) >= 0) or sigmas[-1] < 0:
        raise InputError(
            "sigmas: expected two or more that descend, of which the last, often 0, is where to end"
        )
    single = sigmas.astype(np.float32)
    timesteps = sigma_to_timestep(single[:-1], np.log(ve_sigmas(options)))
    return single.astype(np.float64), timesteps.astype(np.float32).astype(np.float64)


EULER = SchedulerClass(
    defaults={
        **COMMON,
        "interpolation_type": "linear",
        **SIGMA_RAMPS,
        "sigma_min": None,
        "sigma_max": None,
        "timestep_spacing": "linspace",
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    build=_build,
    custom=("timesteps", "sigmas"),
)
