"""PNDMScheduler."""

from dataclasses import replace

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    COMMON,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    spaced_timesteps,
    strided,
    vp_sigmas,
)
from latentrt.schedule.schedule import Schedule

PRK_STEPS = 3  # after which there are outputs enough for the fourth order


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    timesteps = spaced_timesteps(options, count)
    sigmas = vp_sigmas(options)
    if not options["skip_prk_steps"]:
        return _with_runge_kutta(options, timesteps, sigmas)
    # PLMS begins with a second-order step of two evaluations, the second of which is at the next timestep.
    if count > 1:
        timesteps = np.concatenate([timesteps[:2], timesteps[1:]])
    return strided(options, count, timesteps, sigmas)


def _with_runge_kutta(options: Options, timesteps: Float64, sigmas: Float64) -> Schedule:
    """Three steps of four evaluations (at the beginning, twice half way, at the end), then one to each timestep.

    Half way is half a stride above the next timestep for the network, and half a stride below this one for the sample.
    """
    count = len(timesteps)
    if count < PRK_STEPS + 1:
        raise InputError(
            f"num_inference_steps: expected at least {PRK_STEPS + 1} with skip_prk_steps false, got {count}"
        )
    stride = len(sigmas) // count
    half = stride // 2
    begins, ends = timesteps[:PRK_STEPS], timesteps[1 : PRK_STEPS + 1]
    rounds = np.stack([begins, ends + half, ends + half, ends], axis=1).ravel()
    goes_to = np.stack([begins - half, ends + half, ends, ends], axis=1).ravel()
    whole = strided(options, count, np.concatenate([rounds, timesteps[PRK_STEPS:]]), sigmas)
    stops = np.concatenate([sigmas[goes_to.astype(np.int64)], whole.stops[len(rounds) :]])
    return replace(whole, stops=stops)


PNDM = SchedulerClass(
    defaults={
        **COMMON,
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "leading",
    },
    build=_build,
)
