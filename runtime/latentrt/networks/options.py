"""Reads a config.json: each setting is asked for once, checked, and what nobody asked for is refused by name."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from latentrt.errors import ModelError

MAX_LEVELS = 16  # of a network's resolutions; published ones have 4
MAX_COUNT = 1000  # of layers, blocks or heads
MAX_SIZE = 1 << 24  # of channels, tokens or positions


class Options:
    """The settings of one network, each with the default that its class has; null stands for that, but in flags.

    Args:
        where: what the settings were read from, for messages.
        config: the content of its config.json.
    """

    def __init__(self, where: str, config: Mapping[str, Any]) -> None:
        self.where = where
        self._config = config
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key` as it stands, or the default where it is absent or null."""
        self._read.add(key)
        value = self._config.get(key)
        return default if value is None else value

    def is_null(self, key: str) -> bool:
        """Whether `key` is there and null, for the few settings where that says something."""
        self._read.add(key)
        return key in self._config and self._config[key] is None

    def number(self, key: str, default: int, low: int = 1, high: int = MAX_SIZE) -> int:
        """A whole number from `low` to `high`."""
        value = self.get(key, default)
        if not is_whole(value, low, high):
            raise self.unsupported(key, value, f"a whole number from {low} to {high}")
        return int(value)

    def count(self, key: str, default: int) -> int:
        """How many of something a network is made of."""
        return self.number(key, default, high=MAX_COUNT)

    def real(self, key: str, default: float, low: float = -math.inf) -> float:
        """A finite number of `low` or more."""
        value = self.get(key, default)
        if not is_finite(value) or not value >= low:
            raise self.unsupported(
                key, value, "a finite number" + ("" if low == -math.inf else f" of {low:g} or more")
            )
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; null is false, as diffusers takes it."""
        value = False if self.is_null(key) else self.get(key, default)
        if not isinstance(value, bool):
            raise self.unsupported(key, value, "true or false")
        return value

    def numbers(self, key: str, default: Sequence[int], high: int = MAX_SIZE) -> tuple[int, ...]:
        """One whole number for each of 1 to `MAX_LEVELS` levels."""
        value = self.get(key, default)
        listed = isinstance(value, list | tuple) and 1 <= len(value) <= MAX_LEVELS
        if not listed or not all(is_whole(item, 1, high) for item in value):
            raise self.unsupported(key, value, f"1 to {MAX_LEVELS} whole numbers from 1 to {high}")
        return tuple(value)

    def per_level(self, key: str, levels: int, default: int, high: int = MAX_COUNT) -> tuple[int, ...]:
        """One whole number for each of `levels`; a single one stands for all."""
        value = self.get(key, default)
        values = value if isinstance(value, list | tuple) else [value] * levels
        if len(values) != levels or not all(is_whole(item, 1, high) for item in values):
            raise self.unsupported(key, value, f"a whole number from 1 to {high}, or {levels} of them")
        return tuple(values)

    def blocks(self, key: str, levels: int, known: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
        """The names of `levels` blocks, all of them known."""
        value = self.get(key, default)
        listed = isinstance(value, list | tuple) and len(value) == levels
        if not listed or not all(name in known for name in value):
            raise self.unsupported(key, value, f"{levels} blocks out of {', '.join(known)}")
        return tuple(value)

    def choice(self, key: str, *allowed: Any) -> Any:
        """One of the values that have a graph here; the first is the class's default."""
        value = self.get(key, allowed[0])
        if not any(_same(value, one) for one in allowed):
            raise self.unsupported(key, value, " or ".join(map(repr, allowed)))
        return value

    def middle(self, *block_types: str) -> str | None:
        """The type of the middle block, the first by default; null says that there is none."""
        return None if self.is_null("mid_block_type") else str(self.choice("mid_block_type", *block_types))

    def only(self, allowed: Mapping[str, tuple[Any, ...]]) -> None:
        """Refuse other values of settings that have few with a graph here."""
        for key, values in allowed.items():
            self.choice(key, *values)

    def pass_over(self, *keys: str) -> None:
        """Settings that leave the graph as it is, whatever they say."""
        self._read.update(keys)

    def finish(self) -> None:
        """Refuse what nobody has asked for and says something.

        Raises:
            ModelError: names the setting and its value.
        """
        for key, value in self._config.items():
            says_nothing = value is None or value is False or value in ([], {}, "")
            if key not in self._read and not key.startswith("_") and not says_nothing:
                raise self.unsupported(key, value, "it to be absent: what it changes is not known here")

    def unsupported(self, key: str, value: Any, expected: str) -> ModelError:
        """The error that names a setting which has no graph here."""
        return ModelError(f"{self.where}: {key} is {reprlib.repr(value)}; expected {expected}")


def is_finite(value: Any) -> bool:
    """Whether a value is a number, and no truth value, that every arithmetic here takes."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -(2**63) < value < 2**63


def is_whole(value: Any, low: int, high: int) -> bool:
    """Whether a value is a whole number, and no truth value, within bounds."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _same(value: Any, allowed: Any) -> bool:
    """Equal, and both truth values or neither: 1 is no true."""
    return isinstance(value, bool) == isinstance(allowed, bool) and bool(value == allowed)
