"""Numbers that a user gave, checked; the message names which."""

import math
import operator
from typing import Any

from latentrt.errors import InputError


def whole(name: str, value: Any) -> int:
    """An integer of any kind, numpy's too, but no truth value.

    Raises:
        InputError: it is something else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name}: expected a whole number, got {value!r}") from None


def count(name: str, value: Any) -> int:
    """A whole number of 1 or more.

    Raises:
        InputError: it is something else.
    """
    number = whole(name, value)
    if number < 1:
        raise InputError(f"{name}: expected a whole number of 1 or more, got {value!r}")
    return number


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from `low` to `high`.

    Raises:
        InputError: it is something else.
    """
    try:
        if isinstance(value, str | bool):
            raise TypeError
        finite = float(value)
    except (TypeError, ValueError, OverflowError):
        finite = math.nan
    if not math.isfinite(finite):
        raise InputError(f"{name}: expected a finite number, got {value!r}")
    if not low <= finite <= high:
        wanted = f"of {low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
        raise InputError(f"{name}: expected a number {wanted}, got {value!r}")
    return finite
