"""What the classes of k-diffusion's kind share: sigmas interpolated at float timesteps, or on a ramp between those."""

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes.common import (
    Float64,
    Options,
    Steps,
    chained,
    euler_scale,
    interleaved,
    ramp_of,
    sigma_bound,
    spaced_timesteps,
    ve_sigmas,
)
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.schedule import Schedule


def interpolated(options: Options, steps: Steps) -> tuple[Float64, Float64]:
    """The sigmas and timesteps of a run, float64 (count,) each, descending, without the last sigma.

    Args:
        options: of Euler, Heun, LMS or KDPM2.
        steps: `timesteps` may be given, unless the options ask for a ramp.

    Raises:
        InputError: it is; or timesteps that lie outside of training, or do not descend.
    """
    train_sigmas = ve_sigmas(options)
    timesteps = float_timesteps(options, steps)
    sigmas = np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas)
    return ramped(options, steps, sigmas, timesteps, train_sigmas)


def ramped(
    options: Options,
    steps: Steps,
    sigmas: Float64,
    timesteps: Float64,
    train_sigmas: NDArray[np.float32],
) -> tuple[Float64, Float64]:
    """Put the sigmas on the ramp that the options ask for, if any, and find their timesteps."""
    ramp = ramp_of(options)
    if ramp is None:
        return sigmas, timesteps
    if steps.timesteps is not None:
        raise InputError(f"timesteps: expected None with {ramp}, which spaces the sigmas; got a list")
    highest = sigma_bound(options, "sigma_max", float(sigmas[0]))
    lowest = sigma_bound(options, "sigma_min", float(sigmas[-1]))
    sigmas = RAMPS[ramp](highest, lowest, steps.count)
    # diffusers keeps these timesteps in float32, fractions and all.
    found = sigma_to_timestep(sigmas, np.log(train_sigmas))
    return sigmas, found.astype(np.float32).astype(np.float64)


def evaluated_twice(
    options: Options, sigmas: Float64, timesteps: Float64, second_sigmas: Float64, second_timesteps: Float64
) -> Schedule:
    """Chain steps that evaluate where they begin and a second time; but for the last, to σ = 0.

    Args:
        options: of the class.
        sigmas: where the steps begin, (count,), descending.
        timesteps: there.
        second_sigmas: where they evaluate again, (count − 1,).
        second_timesteps: there.
    """
    return chained(
        np.append(interleaved(sigmas, second_sigmas), 0.0),
        interleaved(timesteps, second_timesteps),
        count=len(sigmas),
        form="ve",
        initial_scale=euler_scale(options, sigmas),
        order=2,
    )


def float_timesteps(options: Options, steps: Steps) -> Float64:
    """The timesteps given, or spaced as the config says; in float32 there, so that linspace has fractions."""
    if steps.timesteps is None:
        return spaced_timesteps(options, steps.count, integral=False)
    return descending(steps.timesteps.astype(np.float32).astype(np.float64), options)


def descending(timesteps: Float64, options: Options) -> Float64:
    """The timesteps given, if they can be visited.

    Raises:
        InputError: they do not descend, or lie outside of training.
    """
    last = options["num_train_timesteps"] - 1
    if np.any(np.diff(timesteps) >= 0) or timesteps[0] > last or timesteps[-1] < 0:
        raise InputError(f"timesteps: expected numbers that descend from at most {last} to at least 0")
    return timesteps
