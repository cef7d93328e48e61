"""DDIMScheduler."""

from latentrt.schedule.classes.common import (
    COMMON,
    THRESHOLDING,
    Options,
    SchedulerClass,
    Steps,
    refuse_blind_epsilon,
    spaced_timesteps,
    strided,
    vp_sigmas,
)
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    count = steps.count
    timesteps = spaced_timesteps(options, count)
    sigmas = vp_sigmas(options)
    refuse_blind_epsilon(options, sigmas, timesteps)
    return strided(options, count, timesteps, sigmas)


DDIM = SchedulerClass(
    defaults={
        **COMMON,
        **THRESHOLDING,
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    build=_build,
)
