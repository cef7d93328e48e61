"""What several scheduler classes share: option groups, tables of sigmas, and ways to chain steps."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.betas import exact_alphas_cumprod, make_alphas_cumprod
from latentrt.schedule.options import ConfigError
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.ramps import RAMPS
from latentrt.schedule.schedule import NO_NOISE_SIGMA, ZERO_SNR_SIGMA, Schedule
from latentrt.schedule.spacing import spaced

Float64 = NDArray[np.float64]
Options = Mapping[str, Any]

# ᾱ of the last timestep at zero terminal SNR, in the classes that cannot do with 0: float16's smallest number above it.
LAST_ALPHA = 2.0**-24


@dataclass(frozen=True)
class Steps:
    """Which steps a run asks of its class: the arguments of diffusers' `set_timesteps`. Made by `make_schedule`.

    Attributes:
        count: the number of steps, 1 or more; with `timesteps` or `sigmas`, how many of those are given.
        timesteps: float64 (count,) to be visited, descending; None: as the config spaces them.
        sigmas: float64, in the class's own terms and length (with Euler's final 0, for one); None: by the config.
        mu: the shift of flow matching with `use_dynamic_shifting`, which depends on the picture's size.
    """

    count: int
    timesteps: Float64 | None = None
    sigmas: Float64 | None = None
    mu: float | None = None


def by_type(options: Options) -> Prediction:
    """Read a network of variance-preserving input by its `prediction_type`."""
    return Prediction(options["prediction_type"])


@dataclass(frozen=True)
class SchedulerClass:
    """A diffusers scheduler class, as far as its schedule goes.

    Attributes:
        defaults: every option, with the default of the class's signature in diffusers 0.42.
        build: the schedule of a run: what its `set_timesteps` computes, in sigma space.
        supported: what may be asked for of options of which it builds other values than the table of
            `latentrt.schedule.options` has.
        custom: which of `timesteps`, `sigmas` and `mu` its `set_timesteps` takes; the others never reach `build`.
        predicts: how the network's output is read.
        renamed: values of options that mean something to a kindred class, and what the class takes them for.
        carried: options that its signature lacks, but that it heeds where they come in the config of another class,
            with what counts without them.
    """

    defaults: Mapping[str, Any]
    build: Callable[[Options, Steps], Schedule]
    supported: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    custom: tuple[str, ...] = ()
    predicts: Callable[[Options], Prediction] = by_type
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)


COMMON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
THRESHOLDING: dict[str, Any] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}
# Of the three only one can be true.
SIGMA_RAMPS: dict[str, Any] = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
}

# Between what sigmas of their own kind lie.
BOUNDS: dict[str, Any] = {"sigma_min": None, "sigma_max": None}


def chained(
    sigmas: Float64,
    timesteps: Float64,
    *,
    count: int | None = None,
    form: str = "vp",
    initial_scale: float | None = None,
    order: int = 1,
) -> Schedule:
    """Chain steps that meet: each ends where the next begins.

    Args:
        sigmas: one more than timesteps.
        timesteps: of every evaluation.
        count: num_inference_steps, where it is not the number of evaluations.
        form: see `Schedule`, as the rest.
        initial_scale: likewise.
        order: likewise.
    """
    return Schedule(
        sigmas=sigmas,
        timesteps=timesteps,
        num_inference_steps=len(timesteps) if count is None else count,
        stops=sigmas[1:].copy(),
        starts=np.concatenate([sigmas[:1], sigmas[:-2]]),
        form=form,
        initial_scale=initial_scale,
        order=order,
    )


def interleaved(firsts: Float64, seconds: Float64) -> Float64:
    """Put one value between every two of (n,): (2n − 1,)."""
    merged = np.empty(2 * len(firsts) - 1)
    merged[::2], merged[1::2] = firsts, seconds
    return merged


def euler_scale(options: Options, sigmas: Float64) -> float:
    """The Euler classes' `init_noise_sigma`: unit variance with leading spacing, else σ times noise."""
    highest = float(sigmas.max())
    return math.sqrt(1 + highest * highest) if options["timestep_spacing"] == "leading" else highest


def strided(options: Options, count: int, timesteps: Float64, train_sigmas: Float64) -> Schedule:
    """Chain steps that go down by one stride of training timesteps, whether or not that is the next timestep."""
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


def spaced_timesteps(options: Options, count: int, *, integral: bool = True) -> Float64:
    """Timesteps by `timestep_spacing`, as DDIM, PNDM and the Euler classes read it."""
    train = options["num_train_timesteps"]
    timesteps = spaced(options["timestep_spacing"], count, train, options["steps_offset"], integral=integral)
    return within(timesteps, train)


def within(timesteps: Float64, train: int) -> Float64:
    """The timesteps, if they lie within those of training.

    Raises:
        InputError: the first lies beyond the last of training.
    """
    if timesteps[0] > train - 1:
        raise InputError(
            f"num_inference_steps: {len(timesteps)} steps with the scheduler config's steps_offset begin at timestep "
            f"{timesteps[0]:.0f}, beyond the last, {train - 1}; take fewer steps"
        )
    return timesteps


def shifted(s: NDArray[Any], shift: float) -> NDArray[Any]:
    """Move times of rectified flow towards 1, by the factor `shift` in σ = s/(1 − s): arXiv:2403.03206 eq. 23."""
    return shift * s / (1 + (shift - 1) * s)


def ramp_of(options: Options) -> str | None:
    """The key of `RAMPS` that the options turn on, if any."""
    return next((key for key in RAMPS if options.get(key)), None)


def sigma_bound(options: Options, key: str, default: float) -> float:
    """`sigma_min` or `sigma_max` of the options, where the class has them, or what the schedule says."""
    value: float | None = options.get(key)
    return default if value is None else value


def last_sigma(options: Options, train_sigmas: NDArray[np.floating[Any]]) -> float:
    """Where the run ends, by `final_sigmas_type`."""
    return float(train_sigmas[0]) if options["final_sigmas_type"] == "sigma_min" else 0.0


def refuse_blind_epsilon(
    options: Options, train_sigmas: Float64, timesteps: Float64, *, clips: bool = True
) -> None:
    """Refuse noise prediction from infinite noise, unless what comes of it is clipped.

    diffusers divides by 0 there. `clip_sample` makes signs of that, of which a run recovers; thresholding makes NaN.

    Args:
        options: of the class.
        train_sigmas: of every training timestep.
        timesteps: of the run.
        clips: whether the class heeds `clip_sample`.

    Raises:
        ConfigError: that is what the options ask for.
    """
    infinite = train_sigmas[int(timesteps[0])] == ZERO_SNR_SIGMA
    clipped = clips and options["clip_sample"] and not options["thresholding"]
    if infinite and options["prediction_type"] == "epsilon" and not clipped:
        betas = "beta_start, beta_end" if options["trained_betas"] is None else "trained_betas"
        cause = "rescale_betas_zero_snr" if options["rescale_betas_zero_snr"] else betas
        raise ConfigError(
            f"prediction_type epsilon with {cause}: at zero SNR the predicted noise says nothing of the picture; "
            "expected v_prediction or sample, less noise, or clip_sample"
        )


def vp_sigmas(options: Options) -> Float64:
    """σ = √((1 − ᾱ)/ᾱ) of every training timestep, in float64 from diffusers' ᾱ.

    These are the classes that step by ᾱ itself. Theirs may be 0, as `rescale_betas_zero_snr` makes the last, or 1:
    `ZERO_SNR_SIGMA` and `NO_NOISE_SIGMA` stand for what σ then is.
    """
    alphas_cumprod = alphas_cumprod_of(options).astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.sqrt((1 - alphas_cumprod) / alphas_cumprod).clip(NO_NOISE_SIGMA, ZERO_SNR_SIGMA)


def ve_sigmas(options: Options, last_alpha: float = LAST_ALPHA) -> NDArray[np.float32]:
    """Compute the same in float32, as the classes do that interpolate in a table of σ.

    These have no infinite σ: where betas are rescaled to zero SNR they set the last ᾱ to `LAST_ALPHA`. Other betas may
    still lead there; a schedule that visits such a σ is refused.
    """
    alphas_cumprod = alphas_cumprod_of(options)
    if options.get("rescale_betas_zero_snr"):
        alphas_cumprod = np.append(alphas_cumprod[:-1], np.float32(last_alpha))
    with np.errstate(divide="ignore", over="ignore"):
        sigmas: NDArray[np.float32] = np.sqrt((1 - alphas_cumprod) / alphas_cumprod)
    return sigmas


def alphas_cumprod_of(options: Options) -> NDArray[np.float32]:
    """ᾱ of every training timestep, float32, as diffusers rounds it."""
    trained = options["trained_betas"]
    return _cached_alphas_cumprod(
        options["num_train_timesteps"],
        options["beta_start"],
        options["beta_end"],
        options["beta_schedule"],
        None if trained is None else tuple(trained),
        options.get("rescale_betas_zero_snr", False),
    )


def exact_alphas_cumprod_of(options: Options, last_alpha: float) -> Float64:
    """ᾱ of every training timestep in float64; with `rescale_betas_zero_snr` the last is `last_alpha`."""
    rescaled = bool(options.get("rescale_betas_zero_snr", False))
    alphas_cumprod = exact_alphas_cumprod(
        num_train_timesteps=options["num_train_timesteps"],
        beta_start=options["beta_start"],
        beta_end=options["beta_end"],
        beta_schedule=options["beta_schedule"],
        trained_betas=options["trained_betas"],
        rescale_betas_zero_snr=rescaled,
    )
    return np.append(alphas_cumprod[:-1], last_alpha) if rescaled else alphas_cumprod


@lru_cache(maxsize=16)
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
