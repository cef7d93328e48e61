"""The axes of a sweep: what can vary, and how its values are written."""

import argparse
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latentrt.cli.options import reading
from latentrt.painting.kinds import Kind, Number, Scale, Seed, Seeds, Text, Whole, drawn
from latentrt.painting.picture_settings import Img2ImgSettings
from latentrt.painting.setting import shown

_RANGE = re.compile(r"(-?[0-9.]+)\s*-\s*(-?[0-9.]+)(?:\s*\(\s*\+\s*([0-9.]+)\s*\)|\s*\[\s*([0-9]+)\s*\])?")
MAX_VALUES = 1000

# Of what may be several, one value to a picture.
_ONE: dict[type, Kind] = {Scale: Number(), Seeds: Seed()}


@dataclass(frozen=True)
class Varied:
    """What an axis can vary.

    Attributes:
        setting: as faces show it.
        label: AUTOMATIC1111's name.
        kind: of one value.
    """

    setting: str
    label: str
    kind: Kind

    @property
    def ranges(self) -> bool:
        """Whether values may be ranges of numbers, "1-5", "10-50 (+10)" or "0-1 [5]"."""
        return isinstance(self.kind, Whole | Number | Seed)


def varied() -> dict[str, Varied]:
    """What can vary, by the name of its option."""
    axes = {"prompt": Varied("prompt", "Prompt", Text())}
    for name, setting in shown(Img2ImgSettings).items():
        if setting.axis and setting.option is not None:
            kind = _ONE.get(type(setting.kind), setting.kind)
            axes[setting.option.name.removeprefix("--")] = Varied(name, setting.axis, kind)
    return axes


@dataclass(frozen=True)
class Axis:
    """One axis: what varies, and its values as texts and as read."""

    of: Varied
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def labels(self) -> list[str]:
        """What stands beside the pictures; names speak for themselves, numbers do not."""
        plain = isinstance(self.of.kind, Text)
        return [text if plain else f"{self.of.label}: {text}" for text in self.texts]


NO_AXIS = Axis(Varied("", "Nothing", Text()), ("",), (None,))


def axis(text: str) -> Axis:
    """`NAME=VALUE,VALUE,…` as an argument."""
    name, equals, values = text.partition("=")
    axes = varied()
    of = axes.get(name.strip().lower().replace("_", "-"))
    if of is None or not equals:
        raise argparse.ArgumentTypeError(
            f"expected NAME=VALUE,VALUE,… with NAME one of {', '.join(axes)}; got {text!r}"
        )
    texts = [part.strip() for row in csv.reader([values], skipinitialspace=True) for part in row]
    if of.ranges:
        texts = [one for part in texts for one in _expand(part)]
    if not texts or "" in texts:
        raise argparse.ArgumentTypeError(f"{name}: expected values between the commas, got {values!r}")
    if len(texts) > MAX_VALUES:
        raise argparse.ArgumentTypeError(f"{name}: expected at most {MAX_VALUES} values, got {len(texts)}")
    try:
        read = tuple(map(reading(of.kind), texts))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None
    if of.setting == "seed":  # -1 is drawn once, so that the label can say it
        read = tuple(drawn(seed) for seed in read)
        texts = [str(seed) for seed in read]
    return Axis(of, tuple(texts), read)


def _number(text: str) -> float:
    return (
        int(text) if text.removeprefix("-").isdecimal() else float(text)
    )  # seeds are beyond float's whole numbers


def _expand(text: str) -> Sequence[str]:
    """The numbers of a range, both ends in it; any other text alone."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    try:
        low, high, step = (_number(part) for part in (match[1], match[2], match[3] or "1"))
    except ValueError:
        return [text]  # two points in a number: its kind says what is wrong
    count = int(match[4]) if match[4] else 0
    if high < low or (not count and (step == 0 or (high - low) / step > MAX_VALUES)) or count > MAX_VALUES:
        raise argparse.ArgumentTypeError(
            f"range {text}: expected a rising one of at most {MAX_VALUES} values"
        )
    if match[4]:
        numbers = [low + (high - low) * i / max(count - 1, 1) for i in range(count)]
    else:
        numbers = [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
    return [f"{round(number, 6):g}" if number % 1 else str(int(number)) for number in numbers]
