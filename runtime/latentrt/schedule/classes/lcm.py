"""LCMScheduler.

A strength leaves out the first steps, as in the pipelines of Stable Diffusion; the LCM pipelines' `strength` of
`set_timesteps`, which spreads all steps over less noise, is had by giving those timesteps.
"""

from typing import Any

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    COMMON,
    THRESHOLDING,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    chained,
    refuse_blind_epsilon,
    vp_sigmas,
)
from latentrt.schedule.classes.interpolated import descending
from latentrt.schedule.options import ConfigError
from latentrt.schedule.schedule import Schedule

# Of LCM and TCD. `steps_offset`, `set_alpha_to_one` and `timestep_spacing` change nothing, there as here.
DISTILLED: dict[str, Any] = {
    **COMMON,
    **THRESHOLDING,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "original_inference_steps": 50,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "set_alpha_to_one": True,
    "timestep_spacing": "leading",
    "timestep_scaling": 10.0,
    "rescale_betas_zero_snr": False,
}


def _build(options: Options, steps: Steps) -> Schedule:
    timesteps, train_sigmas = distilled_timesteps(options, steps), vp_sigmas(options)
    refuse_blind_epsilon(options, train_sigmas, timesteps)
    return chained(np.append(train_sigmas[timesteps.astype(np.int64)], 0.0), timesteps)


def distilled_timesteps(options: Options, steps: Steps) -> Float64:
    """Choose evenly among the timesteps that the student was distilled at, from the highest down; (count,).

    Raises:
        InputError: more steps than it was distilled at; custom timesteps that do not fall, or leave those of training.
    """
    train, original = options["num_train_timesteps"], options["original_inference_steps"]
    if original > train:
        raise ConfigError(
            f"original_inference_steps: expected at most the num_train_timesteps, {train}, got {original}"
        )
    if steps.timesteps is not None:
        return descending(np.trunc(steps.timesteps), options)
    if steps.count > original:
        raise InputError(
            f"num_inference_steps: expected at most the scheduler config's original_inference_steps, {original}, "
            f"got {steps.count}"
        )
    distilled = np.arange(original, 0.0, -1) * (train // original) - 1
    chosen: Float64 = distilled[np.linspace(0, original, steps.count, endpoint=False).astype(np.int64)]
    return chosen


LCM = SchedulerClass(defaults=DISTILLED, build=_build, custom=("timesteps",))
