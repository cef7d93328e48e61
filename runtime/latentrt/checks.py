"""What a user may give: limits, and numbers checked, whose errors name the setting."""

import math
import operator
from typing import Any

from latentrt.errors import SettingError

MAX_PIXELS = 64 * 1024 * 1024  # of a picture, read or made
MAX_THREADS = 1024
DEVICES = ("auto", "cpu", "cuda", "openvino")
DTYPES = ("auto", "fp16", "bf16", "fp32", "int8")
PREDICTION_TYPES = (
    "epsilon",
    "v_prediction",
    "sample",
)  # of latent diffusion's UNets, as diffusers calls them


def whole(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """An integer of any kind, numpy's too, but no truth value, from `low` to `high`.

    Raises:
        SettingError: it is something else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise SettingError(name, expected=f"a whole number{_range(low, high)}", got=value)
    return number


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from `low` to `high`.

    Raises:
        SettingError: it is something else.
    """
    try:
        if isinstance(value, str | bool):
            raise TypeError
        finite = float(value)
    except (TypeError, ValueError, OverflowError):
        finite = math.nan
    if not math.isfinite(finite):
        raise SettingError(name, expected="a finite number", got=value)
    if not low <= finite <= high:
        raise SettingError(name, expected=f"a number{_range(low, high)}", got=value)
    return finite


def _range(low: float, high: float) -> str:
    if low == -math.inf:
        return ""
    return f" of {low} or more" if high == math.inf else f" from {low} to {high}"
