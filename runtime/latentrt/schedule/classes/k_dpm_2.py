"""KDPM2DiscreteScheduler and KDPM2AncestralDiscreteScheduler."""

from typing import Any

import numpy as np

from latentrt.schedule.classes.common import (
    BOUNDS,
    COMMON,
    SIGMA_RAMPS,
    Float64,
    Options,
    SchedulerClass,
    Steps,
    ve_sigmas,
)
from latentrt.schedule.classes.interpolated import evaluated_twice, interpolated
from latentrt.schedule.ramps import sigma_to_timestep
from latentrt.schedule.schedule import Schedule


def _build(options: Options, steps: Steps) -> Schedule:
    sigmas, timesteps = _rounded(options, steps)
    return _halved(options, sigmas, timesteps, np.sqrt(sigmas[:-1] * sigmas[1:]))


def _build_ancestral(options: Options, steps: Steps) -> Schedule:
    sigmas, timesteps = _rounded(options, steps)
    return _halved(options, sigmas, timesteps, _halfway_down(sigmas, ve_sigmas(options).dtype))


def _halfway_down(sigmas: Float64, dtype: np.dtype[Any]) -> Float64:
    """Half way in log σ to σ_down = σ'²/σ, where the fresh noise is added: that is σ' itself, but for rounding.

    diffusers takes σ_down² for σ'² − σ_up² in float32, of which little is left where σ' is much less than σ: in a run
    of few steps the middle is off by up to 14 %, and the timestep that the network is told by up to a third. The same
    roundings are made here; what is left comes of torch's square root, and that is 0.016 of a timestep at most.

    Args:
        sigmas: where the steps begin, (n,).
        dtype: in which diffusers computes, that of its table of σ.

    Returns:
        (n − 1,).
    """
    single = sigmas.astype(dtype)
    begins, ends = single[:-1], single[1:]
    up = np.sqrt(ends**2 * (begins**2 - ends**2) / begins**2)
    left = ends**2 - up**2
    log_begins, log_downs = np.log(begins), np.log(np.sqrt(left))
    middles = np.exp(log_begins + single.dtype.type(0.5) * (log_downs - log_begins))
    return np.where(left > 0, middles, ends).astype(np.float64)


def _rounded(options: Options, steps: Steps) -> tuple[Float64, Float64]:
    sigmas, timesteps = interpolated(options, steps)
    return sigmas, timesteps.round() if options["use_karras_sigmas"] else timesteps


def _halved(options: Options, sigmas: Float64, timesteps: Float64, middles: Float64) -> Schedule:
    """Evaluate at the beginning of each step and in its middle; the last, to σ = 0, has no middle."""
    between = sigma_to_timestep(middles.astype(np.float32), np.log(ve_sigmas(options)), single=True)
    return evaluated_twice(options, sigmas, timesteps, middles, between)


_DEFAULTS = {
    **COMMON,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    **SIGMA_RAMPS,
    "timestep_spacing": "linspace",
}

K_DPM_2 = SchedulerClass(defaults=_DEFAULTS, build=_build, carried=BOUNDS)
K_DPM_2_ANCESTRAL = SchedulerClass(defaults=_DEFAULTS, build=_build_ancestral, carried=BOUNDS)
