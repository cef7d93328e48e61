"""The schedule of each diffusers class: what its `set_timesteps` computes, in sigma space."""

import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.betas import make_alphas_cumprod
from latentrt.schedule.ramps import RAMPS, sigma_to_timestep
from latentrt.schedule.schedule import ZERO_SNR_SIGMA, Schedule
from latentrt.schedule.spacing import spaced, spaced_multistep

Float64 = NDArray[np.float64]
Options = Mapping[str, Any]


def make_schedule(class_name: str, options: Options, num_inference_steps: int) -> Schedule:
    """Make the schedule of a run.

    Args:
        class_name: a diffusers class, a key of `BUILDERS`.
        options: all of its options, as `from_config` settles them.
        num_inference_steps: 1 … num_train_timesteps.

    Raises:
        InputError: a number of steps out of range; options that lead outside of the training timesteps.
    """
    train = options["num_train_timesteps"]
    try:
        count = operator.index(num_inference_steps)
    except TypeError:
        raise InputError(f"num_inference_steps: expected an integer, got {num_inference_steps!r}") from None
    if not 1 <= count <= train:
        raise InputError(f"num_inference_steps: expected an integer from 1 to {train}, got {count}")
    return BUILDERS[class_name](options, count)


def _ddim(options: Options, count: int) -> Schedule:
    timesteps = _spaced(options, count)
    sigmas = _vp_sigmas(options)
    _refuse_blind_epsilon(options, sigmas, timesteps)
    return _strided(options, count, timesteps, sigmas)


def _pndm(options: Options, count: int) -> Schedule:
    timesteps = _spaced(options, count)
    # PLMS begins with a second-order step of two evaluations, the second of which is at the next timestep.
    if count > 1:
        timesteps = np.concatenate([timesteps[:2], timesteps[1:]])
    return _strided(options, count, timesteps, _vp_sigmas(options))


def _euler(options: Options, count: int) -> Schedule:
    train_sigmas = _ve_sigmas(options)
    timesteps = _spaced(options, count, integral=False)
    if options["interpolation_type"] == "log_linear":
        # As in diffusers: not the sigmas of `timesteps`, and ending at the lowest whatever `final_sigmas_type` says.
        sigmas = np.exp(np.linspace(np.log(train_sigmas[-1]), np.log(train_sigmas[0]), count + 1))
    else:
        sigmas = np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas)
    ramp = _ramp(options)
    if ramp is not None:
        highest, lowest = _bound(options, "sigma_max", sigmas[0]), _bound(options, "sigma_min", sigmas[-1])
        sigmas = RAMPS[ramp](highest, lowest, count)
        # diffusers keeps these timesteps in float32, fractions and all.
        timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas)).astype(np.float32).astype(np.float64)
    if len(sigmas) == count:
        sigmas = np.append(sigmas, _last_sigma(options, train_sigmas))
    if options["timestep_type"] == "continuous" and options["prediction_type"] == "v_prediction":
        timesteps = 0.25 * np.log(sigmas[:-1])  # c_noise of arXiv:2206.00364, table 1
    unit = options["timestep_spacing"] == "leading"
    return _chained(sigmas, timesteps, unit_variance=unit, variance_preserving=False)


def _euler_ancestral(options: Options, count: int) -> Schedule:
    train_sigmas = _ve_sigmas(options)
    timesteps = _spaced(options, count, integral=False)
    sigmas = np.append(np.interp(timesteps, np.arange(len(train_sigmas)), train_sigmas), 0.0)
    unit = options["timestep_spacing"] == "leading"
    return _chained(sigmas, timesteps, unit_variance=unit, variance_preserving=False)


def _dpmsolver_multistep(options: Options, count: int) -> Schedule:
    train_sigmas = _ve_sigmas(options)
    train = len(train_sigmas)
    # λ = −log σ; timesteps whose λ falls below the clip are left out.
    clipped = int(np.searchsorted(-np.log(train_sigmas[::-1]), options["lambda_min_clipped"]))
    ramp = _ramp(options)
    if ramp is None:
        spacing, offset = options["timestep_spacing"], options["steps_offset"]
        timesteps = _within(spaced_multistep(spacing, count, train, train - clipped, offset), train)
        sigmas = np.interp(timesteps, np.arange(train), train_sigmas)
    else:
        sigmas = RAMPS[ramp](float(train_sigmas[-1]), float(train_sigmas[0]), count)
        timesteps = sigma_to_timestep(sigmas, np.log(train_sigmas))
        rounds = (
            ramp in ("use_karras_sigmas", "use_lu_lambdas")
            and options["beta_schedule"] != "squaredcos_cap_v2"
        )
        timesteps = timesteps.round() if rounds else np.trunc(timesteps)  # an int64 tensor in the end
    return _chained(np.append(sigmas, _last_sigma(options, train_sigmas)), timesteps)


BUILDERS: dict[str, Callable[[Options, int], Schedule]] = {
    "DDIMScheduler": _ddim,
    "PNDMScheduler": _pndm,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _euler_ancestral,
    "DPMSolverMultistepScheduler": _dpmsolver_multistep,
}


def _chained(sigmas: Float64, timesteps: Float64, **conventions: bool) -> Schedule:
    """Steps that meet: each ends where the next begins."""
    return Schedule(
        sigmas=sigmas,
        timesteps=timesteps,
        num_inference_steps=len(timesteps),
        stops=sigmas[1:].copy(),
        starts=np.concatenate([sigmas[:1], sigmas[:-2]]),
        **conventions,
    )


def _strided(options: Options, count: int, timesteps: Float64, train_sigmas: Float64) -> Schedule:
    """Steps that go down by one stride of training timesteps, whether or not that is the next timestep."""
    train = len(train_sigmas)
    stride = train // count
    index = timesteps.astype(np.int64)
    last = 0.0 if options["set_alpha_to_one"] else float(train_sigmas[0])
    below = index - stride
    stops = np.where(below >= 0, train_sigmas[below.clip(0)], last)
    sigmas = train_sigmas[index]
    return Schedule(
        sigmas=np.append(sigmas, stops[-1]),
        timesteps=timesteps,
        num_inference_steps=count,
        stops=stops,
        starts=train_sigmas[(index + stride).clip(max=train - 1)],
    )


def _spaced(options: Options, count: int, *, integral: bool = True) -> Float64:
    train = options["num_train_timesteps"]
    timesteps = spaced(options["timestep_spacing"], count, train, options["steps_offset"], integral=integral)
    return _within(timesteps, train)


def _within(timesteps: Float64, train: int) -> Float64:
    if timesteps[0] > train - 1:
        raise InputError(
            f"num_inference_steps: {len(timesteps)} steps with the scheduler config's steps_offset begin at timestep "
            f"{timesteps[0]:.0f}, beyond the last, {train - 1}; take fewer steps"
        )
    return timesteps


def _ramp(options: Options) -> str | None:
    return next((key for key in RAMPS if options.get(key)), None)


def _bound(options: Options, key: str, default: float) -> float:
    value = default if options[key] is None else options[key]
    if not isinstance(value, (int, float, np.floating)) or not value > 0:
        raise InputError(f"scheduler config: {key}: expected a number above 0, got {value!r}")
    return float(value)


def _last_sigma(options: Options, train_sigmas: NDArray[np.floating[Any]]) -> float:
    return float(train_sigmas[0]) if options["final_sigmas_type"] == "sigma_min" else 0.0


def _refuse_blind_epsilon(options: Options, train_sigmas: Float64, timesteps: Float64) -> None:
    infinite = train_sigmas[int(timesteps[0])] == ZERO_SNR_SIGMA
    if infinite and options["prediction_type"] == "epsilon":
        raise InputError(
            "scheduler config: rescale_betas_zero_snr with prediction_type epsilon: at zero SNR the predicted noise "
            "says nothing of the picture; expected v_prediction or sample"
        )


def _vp_sigmas(options: Options) -> Float64:
    """σ = √((1 − ᾱ)/ᾱ) of every training timestep, in float64 from diffusers' ᾱ; infinity is `ZERO_SNR_SIGMA`."""
    alphas_cumprod = _alphas_cumprod(options).astype(np.float64)
    infinite = alphas_cumprod == 0
    safe = np.where(infinite, 1.0, alphas_cumprod)
    return np.where(infinite, ZERO_SNR_SIGMA, np.sqrt((1 - safe) / safe))


def _ve_sigmas(options: Options) -> NDArray[np.float32]:
    """Compute the same in float32, as the classes do that interpolate in a table of σ; no ᾱ is below 2⁻²⁴."""
    alphas_cumprod = _alphas_cumprod(options)
    if options["rescale_betas_zero_snr"]:
        alphas_cumprod = np.append(alphas_cumprod[:-1], np.float32(2.0**-24))
    sigmas: NDArray[np.float32] = np.sqrt((1 - alphas_cumprod) / alphas_cumprod)
    return sigmas


def _alphas_cumprod(options: Options) -> NDArray[np.float32]:
    trained = options["trained_betas"]
    if not isinstance(trained, (list, tuple, type(None))) or not all(
        isinstance(v, (int, float)) for v in trained or ()
    ):
        raise InputError(f"scheduler config: trained_betas: expected a list of numbers, got {trained!r:.80}")
    return _cached_alphas_cumprod(
        options["num_train_timesteps"],
        float(options["beta_start"]),
        float(options["beta_end"]),
        str(options["beta_schedule"]),
        None if trained is None else tuple(float(beta) for beta in trained),
        bool(options.get("rescale_betas_zero_snr")),
    )


@cache
def _cached_alphas_cumprod(
    train: int, start: float, end: float, schedule: str, trained: tuple[float, ...] | None, rescale: bool
) -> NDArray[np.float32]:
    alphas_cumprod = make_alphas_cumprod(
        num_train_timesteps=train,
        beta_start=start,
        beta_end=end,
        beta_schedule=schedule,
        trained_betas=trained,
        rescale_betas_zero_snr=rescale,
    )
    alphas_cumprod.flags.writeable = False
    return alphas_cumprod
