"""What a `scheduler_config.json` means to a diffusers class: its options settled and checked, its schedule made."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes import CLASSES
from latentrt.schedule.classes.common import Steps
from latentrt.schedule.schedule import Schedule

# What is supported where a class says nothing else.
_SUPPORTED = {
    "prediction_type": ("epsilon", "v_prediction", "sample"),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
}
_EXCLUSIVE = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


def from_config(class_name: str, config: Mapping[str, Any], **overrides: Any) -> dict[str, Any]:
    """Settle every option as diffusers' `Class.from_config(config, **overrides)` does.

    Options of other classes are passed over, as there; so are those that the config names in `_use_default_values`.
    An override of an option that the class lacks is passed over, too.

    Args:
        class_name: a key of `CLASSES`.
        config: a parsed `scheduler_config.json`, of this class or of another.
        overrides: options that win over the config.

    Raises:
        InputError: an option has a value that is not supported; a number is out of range.
    """
    built = CLASSES[class_name]
    defaults = {**built.defaults, **built.carried}
    ignored = config.get("_use_default_values") or ()
    options = {
        **defaults,
        **{key: value for key, value in config.items() if key in defaults and key not in ignored},
        **{key: value for key, value in overrides.items() if key in defaults},
    }
    for key, renamed in built.renamed.items():
        options[key] = next((new for old, new in renamed.items() if old == options[key]), options[key])
    for key, values in {**_SUPPORTED, **built.supported}.items():
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


def make_schedule(
    class_name: str,
    options: Mapping[str, Any],
    num_inference_steps: int | None,
    *,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
) -> Schedule:
    """Make the schedule of a run, as the class's `set_timesteps` does.

    Args:
        class_name: a diffusers class, a key of `CLASSES`.
        options: all of its options, as `from_config` settles them.
        num_inference_steps: 1 … num_train_timesteps; None with `timesteps` or `sigmas`, which say how many.
        timesteps: to be visited, descending, where the class takes them.
        sigmas: in the class's own terms and length, where it takes them.
        mu: the shift of flow matching, where `use_dynamic_shifting` is set.

    Raises:
        InputError: a number of steps out of range; options that lead outside of the training timesteps; something that
            the class does not take.
    """
    built = CLASSES[class_name]
    for key, value in (("timesteps", timesteps), ("sigmas", sigmas), ("mu", mu)):
        if value is not None and key not in built.custom:
            takers = ", ".join(name for name, other in CLASSES.items() if key in other.custom)
            raise InputError(f"{key}: {class_name} takes none; expected None, or a class that does: {takers}")
    custom = {key: _numbers(key, value) for key, value in (("timesteps", timesteps), ("sigmas", sigmas))}
    lengths = [len(values) for values in custom.values() if values is not None]
    if not lengths:
        return built.build(
            options, Steps(check_count(num_inference_steps, options["num_train_timesteps"]), mu=mu)
        )
    schedule = built.build(options, Steps(lengths[0], **custom, mu=mu))
    if num_inference_steps not in (None, schedule.num_inference_steps):
        raise InputError(
            f"num_inference_steps: {', '.join(key for key in custom if custom[key] is not None)} of {class_name} make "
            f"{schedule.num_inference_steps} steps; expected that or None, got {num_inference_steps!r}"
        )
    return schedule


def check_count(value: Any, train: int) -> int:
    """A number of steps from 1 to `train`.

    Raises:
        InputError: it is none.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise InputError(f"num_inference_steps: expected an integer, got {value!r}") from None
    if not 1 <= count <= train:
        raise InputError(f"num_inference_steps: expected an integer from 1 to {train}, got {count}")
    return count


def _numbers(key: str, values: Sequence[float] | None) -> NDArray[np.float64] | None:
    """Finite numbers, at least one.

    Raises:
        InputError: they are something else.
    """
    if values is None:
        return None
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{key}: expected a list of numbers, got {values!r:.80}") from None
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise InputError(f"{key}: expected a list of finite numbers, at least one, got {values!r:.80}")
    return numbers


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
    if isinstance(default, (bool, list)) or default is None:
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
