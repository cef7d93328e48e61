"""Reads a config.json and says by name what in it cannot be exported."""

from collections.abc import Mapping
from typing import Any

from latentrt.errors import ModelError


class Options:
    """The settings of one component, each asked for with the default that its class has."""

    def __init__(self, component: str, config: Mapping[str, Any]) -> None:
        self.component = component
        self._config = config

    def get(self, key: str, default: Any) -> Any:
        """The value of `key`, or the class's default where config.json leaves it out."""
        return self._config.get(key, default)

    def number(self, key: str, default: int | None = None) -> int:
        """A positive integer.

        Raises:
            ModelError: it is absent without a default, or something else.
        """
        value = self._config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.unsupported(key, value, "a positive integer")
        return value

    def per_level(self, key: str, levels: int, default: Any = None) -> list[int]:
        """One positive integer for each of `levels`; a single one stands for all."""
        value = self._config.get(key, default)
        values = list(value) if isinstance(value, list | tuple) else [value] * levels
        if len(values) != levels or any(
            isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values
        ):
            raise self.unsupported(key, value, f"a positive integer, or {levels} of them")
        return values

    def blocks(self, key: str, levels: int, known: tuple[str, ...]) -> list[str]:
        """The names of `levels` blocks, all of them known."""
        value = list(self._config.get(key, ()))
        if len(value) != levels or any(name not in known for name in value):
            raise self.unsupported(key, value, f"{levels} blocks out of {', '.join(known)}")
        return value

    def only(self, key: str, *allowed: Any) -> None:
        """Refuse any value of `key` but `allowed`; the first is the default."""
        value = self._config.get(key, allowed[0])
        if value not in allowed:
            raise self.unsupported(key, value, " or ".join(map(repr, allowed)))

    def unsupported(self, key: str, value: Any, expected: str) -> ModelError:
        """The error that names a setting which cannot be exported."""
        return ModelError(
            f"{self.component}: config.json: {key} is {value!r}, which cannot be exported; expected {expected}"
        )
