"""Every option of a scheduler config: of which kind it is, and between what it lies.

The one table of all classes, `OPTIONS`. Where a class builds other values than stand there (`solver_order` 1 to 3),
they stand with the class; so do rules between options.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from latentrt.checks import PREDICTION_TYPES
from latentrt.errors import InputError, ModelError

MAX_ENTRIES = 1_000_000  # of a list, and of the table of noise levels
# What a float32 holds of numbers above 0, squared: wider numbers make a schedule of zeros and infinities.
LEAST, MOST = 2.0**-62, 2.0**62


class ConfigError(InputError):
    """A scheduler config says what cannot be. It is the caller's, unless the config is a model's: see `blamed_on`.

    Attributes:
        problem: the message without what names the config.
    """

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        return f"scheduler config: {self.problem}"


@contextmanager
def blamed_on(where: str | Path | None) -> Iterator[None]:
    """Make a ModelError, which names the file, of what is wrong with a model's scheduler config.

    Args:
        where: the file; None: the config came from the caller, and the error is left as it is.
    """
    try:
        yield
    except ConfigError as error:
        if where is None:
            raise
        raise ModelError(f"{where}: {error.problem}") from None


@dataclass(frozen=True)
class Kind:
    """What values an option takes.

    Attributes:
        expected: in words.
        read: the value as it is used. Raises TypeError, ValueError or OverflowError where it is of another kind.
        values: the only ones, where they are few; a class may have others.
    """

    expected: str
    read: Callable[[Any], Any]
    values: tuple[Any, ...] | None = None

    def settle(self, value: Any, values: tuple[Any, ...] | None = None) -> Any:
        """The value as it is used.

        Args:
            value: as a config has it.
            values: those of a class, in place of the table's.

        Raises:
            ValueError: it is none of this kind; the message says what is.
        """
        known = self.values if values is None else values
        try:
            settled = self.read(value)
        except (TypeError, ValueError, OverflowError):
            pass
        else:
            if known is None or settled in known:
                return settled
        expected = self.expected if known is None else f"one of {', '.join(map(str, known))}"
        raise ValueError(f"expected {expected}, got {shown(value)}")


def shown(value: Any) -> str:
    """A value in an error: the beginning of it."""
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python writes no integer of more than 4300 digits
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__


def _flag() -> Kind:
    def read(value: Any) -> bool:
        if value is not None and not isinstance(value, bool | np.bool_):
            raise TypeError
        return bool(value)  # null is false, as in diffusers

    return Kind("true or false", read)


def _number(low: float, high: float, *, expected: str = "", infinite: bool = False) -> Kind:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError
        settled = float(value)
        if not low <= settled <= high or (math.isinf(settled) and not infinite):
            raise ValueError
        return settled

    return Kind(expected or f"a number from {low:g} to {high:g}", read)


def _positive(*, infinite: bool = False) -> Kind:
    most = math.inf if infinite else MOST
    return _number(LEAST, most, expected="a number above 0 whose square a float32 holds", infinite=infinite)


def _any_number() -> Kind:
    return _number(-math.inf, math.inf, expected="a finite number")


def _whole(low: int, high: int = MAX_ENTRIES) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError
        if not low <= value <= high:
            raise ValueError
        return int(value)

    return Kind(f"a whole number from {low} to {high}", read)


def _word(*values: str) -> Kind:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError
        return value

    return Kind("a word", read, values)


def _list(entry: Kind, plural: str) -> Kind:
    """A list of what `entry` takes; its length is looked at first."""

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple | np.ndarray):
            raise TypeError
        if len(value) > MAX_ENTRIES:
            raise ValueError
        return [entry.read(item) for item in value]

    return Kind(f"a list of {plural}, at most {MAX_ENTRIES} of them", read)


def _either(*kinds: Kind) -> Kind:
    """What the first of these takes that takes the value."""

    def read(value: Any) -> Any:
        for kind in kinds:
            try:
                return kind.read(value)
            except (TypeError, ValueError, OverflowError):
                continue
        raise ValueError

    return Kind(", or ".join(kind.expected for kind in kinds), read)


def _optional(kind: Kind) -> Kind:
    """The same, or null."""
    values = None if kind.values is None else (None, *kind.values)
    return replace(
        kind,
        expected=f"{kind.expected}, or null",
        read=lambda value: None if value is None else kind.read(value),
        values=values,
    )


def _function() -> Kind:
    def read(value: Any) -> Callable[[float], float]:
        if not callable(value):
            raise TypeError
        accepted: Callable[[float], float] = value
        return accepted

    return Kind("a function of the timestep", read)


def _rho() -> Kind:
    def read(value: Any) -> float:
        number: float = _any_number().read(value)
        if number == 0:
            raise ValueError
        return number

    return Kind("a number other than 0", read)


def _nothing() -> Kind:
    def read(value: Any) -> None:
        if value is not None:
            raise TypeError

    return Kind("null", read)


_SEED = _whole(-(2**63), 2**64 - 1)

OPTIONS: dict[str, Kind] = {
    # the noise levels of training
    "num_train_timesteps": _whole(1),
    "beta_start": _number(0, 1),
    "beta_end": _number(0, 1),
    "beta_schedule": _word("linear", "scaled_linear", "squaredcos_cap_v2"),
    "trained_betas": _optional(_list(_number(0, 1), "numbers from 0 to 1")),
    "rescale_betas_zero_snr": _flag(),
    # what the network puts out
    "prediction_type": _word(*PREDICTION_TYPES),
    # DDPM's own fixed ones mean nothing to the others, and are passed over.
    "variance_type": _optional(
        _word("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")
    ),
    "sigma_data": _positive(),
    # which of the noise levels a run visits
    "timestep_spacing": _word("leading", "linspace", "trailing"),
    "steps_offset": _whole(0),
    "original_inference_steps": _whole(1),
    "interpolation_type": _word("linear", "log_linear"),
    "timestep_type": _word("discrete", "continuous"),
    "timestep_scaling": _any_number(),
    "lambda_min_clipped": _number(-math.inf, math.inf, expected="a number, or minus infinity", infinite=True),
    "use_karras_sigmas": _flag(),
    "use_exponential_sigmas": _flag(),
    "use_beta_sigmas": _flag(),
    "use_lu_lambdas": _flag(),
    "sigma_min": _optional(_positive()),
    "sigma_max": _optional(_positive()),
    "sigma_schedule": _word("karras", "exponential"),
    "rho": _rho(),
    "final_sigmas_type": _word("zero", "sigma_min"),
    "set_alpha_to_one": _flag(),
    # flow matching
    "use_flow_sigmas": _flag(),
    "flow_shift": _positive(),
    "shift": _positive(),
    "use_dynamic_shifting": _flag(),
    "time_shift_type": _word("exponential", "linear"),
    "base_shift": _any_number(),
    "max_shift": _any_number(),
    "base_image_seq_len": _whole(0),
    "max_image_seq_len": _whole(0),
    "invert_sigmas": _flag(),
    "shift_terminal": _optional(_number(0, 1 - 2.0**-24, expected="a number from 0 to 1, 1 excluded")),
    "stochastic_sampling": _flag(),
    # bounds on what is denoised
    "clip_sample": _flag(),
    "clip_sample_range": _number(0, math.inf, infinite=True),
    "thresholding": _flag(),
    "dynamic_thresholding_ratio": _number(0, 1),
    "sample_max_value": _positive(infinite=True),
    # the solver
    "solver_order": _whole(1, 100),
    "solver_type": _word("midpoint", "heun"),
    "algorithm_type": _word("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "lower_order_final": _flag(),
    "euler_at_final": _flag(),
    "skip_prk_steps": _flag(),
    "predict_x0": _flag(),
    "disable_corrector": _list(_whole(-MAX_ENTRIES), "numbers of steps"),
    "solver_p": _nothing(),
    "predictor_order": _whole(1, 4),
    "corrector_order": _whole(1, 4),
    "tau_func": _optional(_function()),
    "noise_sampler_seed": _optional(_either(_SEED, _list(_SEED, "seeds, one for each picture"))),
}


def settle(key: str, value: Any, values: Sequence[Any] | None = None) -> Any:
    """An option's value as it is used, see `Kind.settle`.

    Raises:
        ValueError: it is none; the message names the key.
    """
    try:
        return OPTIONS[key].settle(value, None if values is None else tuple(values))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
