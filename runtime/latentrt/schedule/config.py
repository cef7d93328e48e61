"""What a `scheduler_config.json` means to a diffusers class: its options, their defaults, which values are built."""

import math
from collections.abc import Mapping
from typing import Any

from latentrt.errors import InputError

_COMMON: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
_THRESHOLDING: dict[str, Any] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}

# The signatures of diffusers 0.42: a key that a config leaves out means the default of the class.
DEFAULTS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {
        **_COMMON,
        **_THRESHOLDING,
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "set_alpha_to_one": True,
        "timestep_spacing": "leading",
        "rescale_betas_zero_snr": False,
    },
    "PNDMScheduler": {
        **_COMMON,
        "skip_prk_steps": False,
        "set_alpha_to_one": False,
        "timestep_spacing": "leading",
    },
    "EulerDiscreteScheduler": {
        **_COMMON,
        "interpolation_type": "linear",
        "use_karras_sigmas": False,
        "use_exponential_sigmas": False,
        "use_beta_sigmas": False,
        "sigma_min": None,
        "sigma_max": None,
        "timestep_spacing": "linspace",
        "timestep_type": "discrete",
        "rescale_betas_zero_snr": False,
        "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": {
        **_COMMON,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
    },
    "DPMSolverMultistepScheduler": {
        **_COMMON,
        **_THRESHOLDING,
        "solver_order": 2,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "lower_order_final": True,
        "euler_at_final": False,
        "use_karras_sigmas": False,
        "use_exponential_sigmas": False,
        "use_beta_sigmas": False,
        "use_lu_lambdas": False,
        "use_flow_sigmas": False,
        "final_sigmas_type": "zero",
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
        "timestep_spacing": "linspace",
        "rescale_betas_zero_snr": False,
        "use_dynamic_shifting": False,
    },
}

# Options of which some values are not built: what may be asked for.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "final_sigmas_type": ("zero", "sigma_min"),
    "interpolation_type": ("linear", "log_linear"),
    "timestep_type": ("discrete", "continuous"),
    "skip_prk_steps": (True,),
    "solver_order": (1, 2),
    "algorithm_type": ("dpmsolver++",),
    "solver_type": ("midpoint", "heun"),
    "use_flow_sigmas": (False,),
    "variance_type": (None,),
    "use_dynamic_shifting": (False,),
}
# What diffusers itself takes for something else: DPMSolverMultistep given a config of DEIS or UniPC.
_RENAMED: dict[str, dict[Any, Any]] = {
    "algorithm_type": {"deis": "dpmsolver++"},
    "solver_type": {"logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"},
}
_EXCLUSIVE = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def from_config(class_name: str, config: Mapping[str, Any], **overrides: Any) -> dict[str, Any]:
    """Settle every option as diffusers' `Class.from_config(config, **overrides)` does.

    Options of other classes are passed over, as there; so are those that the config names in `_use_default_values`.
    An override of an option that the class lacks is passed over, too.

    Args:
        class_name: a key of `DEFAULTS`.
        config: a parsed `scheduler_config.json`, of this class or of another.
        overrides: options that win over the config.

    Raises:
        InputError: an option has a value that is not supported; a number is out of range.
    """
    defaults = DEFAULTS[class_name]
    ignored = config.get("_use_default_values") or ()
    options = {
        **defaults,
        **{key: value for key, value in config.items() if key in defaults and key not in ignored},
        **{key: value for key, value in overrides.items() if key in defaults},
    }
    for key, renamed in _RENAMED.items():
        if key in options:
            options[key] = renamed.get(options[key], options[key])
    for key, values in _SUPPORTED.items():
        if key in options and options[key] not in values:
            known = ", ".join(str(value) for value in values)
            raise InputError(
                f"scheduler config of {class_name}: {key} = {options[key]!r} is not supported; supported: {known}"
            )
    if sum(bool(options.get(key)) for key in _EXCLUSIVE) > 1:
        raise InputError(f"scheduler config of {class_name}: only one of {', '.join(_EXCLUSIVE)} can be true")
    for key, value in options.items():
        _check(key, value, defaults[key])
    return options


_RANGES: dict[str, tuple[float, float]] = {
    "num_train_timesteps": (1, 1_000_000),
    "steps_offset": (0, 1_000_000),
    "beta_start": (0, 1),
    "beta_end": (0, 1),
    "dynamic_thresholding_ratio": (0, 1),
    "clip_sample_range": (0, math.inf),
    "sample_max_value": (0, math.inf),
}


def _check(key: str, value: Any, default: Any) -> None:
    """Hold a value against the kind of its default and the range of its key.

    Raises:
        InputError: it is of another kind, NaN, or out of range.
    """
    if isinstance(default, bool) or default is None:
        return  # true and false, and None for false, as they are; the rest is checked where it is used
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        int: ((int,), "an integer"),
        float: ((int, float), "a number"),
        str: ((str,), "a word"),
    }
    accepted, called = kinds[type(default)]
    if isinstance(value, bool) or not isinstance(value, accepted) or value != value:
        raise InputError(f"scheduler config: {key}: expected {called}, got {value!r}")
    low, high = _RANGES.get(key, (-math.inf, math.inf))
    if isinstance(value, (int, float)) and not low <= value <= high:
        raise InputError(
            f"scheduler config: {key}: expected {called} from {low:g} to {high:g}, got {value!r}"
        )
