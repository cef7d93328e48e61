"""DDPMScheduler."""

import numpy as np

from latentrt.schedule.classes.common import (
    COMMON,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
    chained,
    refuse_blind_epsilon,
    spaced_timesteps,
    vp_sigmas,
)
from latentrt.schedule.classes.interpolated import descending
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    if steps.timesteps is None:
        timesteps = spaced_timesteps(options, steps.count)
    else:
        timesteps = descending(np.trunc(steps.timesteps), options)
    sigmas = vp_sigmas(options)
    refuse_blind_epsilon(options, sigmas, timesteps)
    return chained(np.append(sigmas[timesteps.astype(np.int64)], 0.0), timesteps)


def _predicts(options: Options) -> Prediction:
    learned = options["variance_type"] in ("learned", "learned_range")
    return Prediction(options["prediction_type"], keeps_variance=learned)


DDPM = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "variance_type": "fixed_small",
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    build=_build,
    supported={
        "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"),
        "variance_type": (
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
            "learned",
            "learned_range",
        ),
    },
    custom=("timesteps",),
    predicts=_predicts,
)
