"""What a setting's value may be: how it is checked, read from text, and written as text.

`check` takes what Python or JSON gives, `read` what the command line or a picture's text holds; both raise
SettingError, which names the setting, what was expected and what came.
"""

import math
import re
import secrets
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from latentrt.checks import MAX_PIXELS, number, whole
from latentrt.errors import SettingError
from latentrt.pictures.metadata import number_text

# One number; points spread evenly over the run, linear in between; or what to ask for each step, counted from 0.
GuidanceScale: TypeAlias = float | Sequence[float] | Callable[[int], float]

MAX_SEED = 2**64 - 1


class Kind(Protocol):
    """A kind of values."""

    def check(self, name: str, value: Any) -> Any:
        """The value of the setting `name` in its own type."""
        ...

    def read(self, name: str, text: str) -> Any:
        """The value that a text holds."""
        ...

    def write(self, value: Any) -> str:
        """The text that `read` takes."""
        ...


class Text:
    """Any text."""

    def check(self, name: str, value: Any) -> str:
        """As it is."""
        if not isinstance(value, str):
            raise SettingError(name, expected="text", got=value)
        return value

    def read(self, name: str, text: str) -> str:
        """As it is."""
        return text

    def write(self, value: str) -> str:
        """As it is."""
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf

    def check(self, name: str, value: Any) -> int:
        """An int, also of numpy's."""
        return whole(name, value, self.low, self.high)

    def read(self, name: str, text: str) -> int:
        """Of digits alone, at most 20."""
        return self.check(name, _int(text))

    def write(self, value: int) -> str:
        """Its digits."""
        return str(value)


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`; with `above`, more than `low`, and `why` in brackets."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    why: str = ""

    def check(self, name: str, value: Any) -> float:
        """A float."""
        if self.above and not self.low < number(name, value) <= self.high:
            least = f"more than {self.low}"
            most = "" if self.high == math.inf else f" and at most {self.high}"
            why = f" ({self.why})" if self.why else ""
            raise SettingError(name, expected=least + most + why, got=value)
        return number(name, value, self.low, self.high)

    def read(self, name: str, text: str) -> float:
        """As Python writes it, or a whole one."""
        return self.check(name, _float(text))

    def write(self, value: float) -> str:
        """7 for 7.0; otherwise all its digits."""
        return number_text(value)


@dataclass(frozen=True)
class Flag:
    """Yes or no; `on` and `off` are what a text says."""

    on: str = "True"
    off: str = "False"

    def check(self, name: str, value: Any) -> bool:
        """A bool, of anything that equals one."""
        if not isinstance(value, Sized) and value in (True, False):
            return bool(value)
        raise SettingError(name, expected="True or False", got=value)

    def read(self, name: str, text: str) -> bool:
        """One of the two words."""
        return self.check(name, {self.on: True, self.off: False}.get(text, text))

    def write(self, value: bool) -> str:
        """One of the two words."""
        return self.on if value else self.off


@dataclass(frozen=True)
class Choice:
    """One of several names, or in Python a value of other types; a text has capitals, or spaces (`spaced`)."""

    names: tuple[str, ...]
    others: tuple[type, ...] = ()
    spaced: bool = False

    def check(self, name: str, value: Any) -> Any:
        """The name, or the value."""
        if not isinstance(value, self.others) and (not isinstance(value, str) or value not in self.names):
            raise SettingError(name, expected=f"one of {', '.join(self.names)}", got=value)
        return value

    def read(self, name: str, text: str) -> str:
        """The name, in capitals or not."""
        return str(self.check(name, text.lower().replace(" ", "_")))

    def write(self, value: str) -> str:
        """As texts have it."""
        return value.replace("_", " ") if self.spaced else value.upper()


class Size:
    """Width and height in pixels. Which multiples a model takes is known once it is open."""

    def check(self, name: str, value: Any) -> tuple[int, int]:
        """Two whole numbers of 1 or more, at most `MAX_PIXELS` in all."""
        sides = several(value)
        if sides is None or len(sides) != 2:
            raise SettingError(name, expected="a width and a height, 512x512 as text", got=value)
        width, height = (whole(name, side) for side in sides)
        if width < 1 or height < 1:
            raise SettingError(name, f"expected sides of 1 or more, got {width}x{height}")
        if width * height > MAX_PIXELS:
            raise SettingError(name, f"expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
        return width, height

    def read(self, name: str, text: str) -> tuple[int, int]:
        """WIDTHxHEIGHT."""
        return self.check(name, read_sides(name, text, "512x512"))

    def write(self, value: tuple[int, int]) -> str:
        """WIDTHxHEIGHT."""
        return f"{value[0]}x{value[1]}"


def read_sides(name: str, text: str, example: str) -> tuple[int, int]:
    """Width and height of a text; a SettingError where it is not of the example's form."""
    match = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text.lower())
    if match is None:
        raise SettingError(name, expected=f"WIDTHxHEIGHT, as {example}", got=text)
    return int(match[1]), int(match[2])


class Seed:
    """A seed; None is a random one, which the whole field writes as −1."""

    def check(self, name: str, value: Any) -> int | None:
        """From −2⁶³ to 2⁶⁴ − 1, as torch takes them, but for −1."""
        seed = whole(name, value, -(2**63), MAX_SEED)
        return None if seed == -1 else seed

    def read(self, name: str, text: str) -> int | None:
        """From 0, or −1."""
        seed = _int(text)
        if isinstance(seed, str) or not -1 <= seed <= MAX_SEED:
            raise SettingError(name, expected=f"0 to {MAX_SEED}, or -1 for a random one", got=text)
        return self.check(name, seed)

    def write(self, value: int) -> str:
        """Its digits."""
        return str(value)


class Seeds:
    """One seed, or a list of them."""

    def check(self, name: str, value: Any) -> int | list[int | None] | None:
        """A list where one is given."""
        seeds = several(value)
        if seeds is None:
            return Seed().check(name, value)
        if not seeds:
            raise SettingError(name, expected="a seed, or a list of at least one", got=value)
        return [Seed().check(name, one) for one in seeds]

    def read(self, name: str, text: str) -> list[int | None]:
        """With commas between them."""
        return [Seed().read(name, part.strip()) for part in text.split(",")]

    def write(self, value: int | list[int]) -> str:
        """With commas between them."""
        return ",".join(map(str, [value] if isinstance(value, int) else value))


def drawn(seed: int | None) -> int:
    """The seed that was asked for, or a random one of 32 bits where none was."""
    return secrets.randbits(32) if seed is None else seed


class Scale:
    """A `GuidanceScale`."""

    def check(self, name: str, value: Any) -> GuidanceScale:
        """A float, a tuple of at least one, or the function."""
        if callable(value):
            return value  # type: ignore[no-any-return]  # what it gives is checked when it is called
        points = several(value)
        if points is None:
            return number(name, value)
        if not points:
            raise SettingError(name, expected="a number, or several", got=value)
        return tuple(number(name, point) for point in points)

    def read(self, name: str, text: str) -> GuidanceScale:
        """A number, or several with commas or spaces between them."""
        points = floats(text)
        return self.check(name, points if len(points) > 1 else points[0])

    def write(self, value: float | Sequence[float]) -> str:
        """With spaces between them."""
        return " ".join(map(number_text, [value] if isinstance(value, int | float) else value))


class Interval:
    """Two shares of a run, the first below the second."""

    def check(self, name: str, value: Any) -> tuple[float, float]:
        """Two floats in [0, 1]."""
        try:
            start, end = (number(name, share) for share in several(value) or ())
        except ValueError:  # two there are not, or one is no number
            start = end = math.nan
        if not 0 <= start < end <= 1:
            raise SettingError(name, expected="(start, end) with 0 <= start < end <= 1", got=value)
        return start, end

    def read(self, name: str, text: str) -> tuple[float, float]:
        """With a comma or spaces between them."""
        shares = floats(text)
        return self.check(name, shares if all(isinstance(share, float) for share in shares) else text)

    def write(self, value: tuple[float, float]) -> str:
        """With a space between them."""
        return " ".join(map(number_text, value))


def several(value: Any) -> list[Any] | None:
    """What a sequence holds, or numpy's array; None of a text, and of what is one value."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__getitem__"):
        return None
    try:
        return list(value)
    except TypeError:  # an array of no dimension, or a number of numpy's
        return None


# A text that holds no number stays what it is, and `check` refuses it under its own words.


def _int(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?[0-9]{1,20}", text) else text


def _float(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def floats(text: str) -> list[float | str]:
    """What stands between commas and spaces; what is no number stays a text."""
    return [_float(part) for part in re.split(r"\s*,\s*|\s+", text.strip())]
