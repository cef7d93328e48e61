"""The axes of a sweep: what can vary, and how its values are written."""

import argparse
import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from latentrt.cli import arguments

_RANGE = re.compile(r"(-?[0-9.]+)\s*-\s*(-?[0-9.]+)(?:\s*\(\s*\+\s*([0-9.]+)\s*\)|\s*\[\s*([0-9]+)\s*\])?")
MAX_VALUES = 1000


@dataclass(frozen=True)
class Kind:
    """What an axis can vary.

    Attributes:
        setting: the setting of a generation.
        label: AUTOMATIC1111's name.
        read: makes a value of its text.
        ranges: whether values may be ranges of numbers, "1-5", "10-50 (+10)" or "0-1 [5]".
    """

    setting: str
    label: str
    read: Callable[[str], Any]
    ranges: bool = False


KINDS: dict[str, Kind] = {
    "sampler": Kind("sampler", "Sampler", str),
    "schedule": Kind("schedule", "Schedule type", str),
    "steps": Kind("num_inference_steps", "Steps", arguments.natural, ranges=True),
    "guidance-scale": Kind("guidance_scale", "CFG Scale", arguments.finite, ranges=True),
    "seed": Kind("seed", "Seed", arguments.seed, ranges=True),
    "strength": Kind("strength", "Denoising", arguments.strength, ranges=True),
    "eta": Kind("eta", "Eta", arguments.share, ranges=True),
    "clip-skip": Kind("clip_skip", "Clip skip", arguments.whole, ranges=True),
    "size": Kind("size", "Size", arguments.size),
    "prompt": Kind("prompt", "Prompt", str),
    "negative": Kind("negative_prompt", "Negative prompt", str),
}


@dataclass(frozen=True)
class Axis:
    """One axis: its kind, and its values as texts and as read."""

    kind: Kind
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def labels(self) -> list[str]:
        """What stands beside the pictures; names speak for themselves, numbers do not."""
        plain = self.kind.read is str
        return [text if plain else f"{self.kind.label}: {text}" for text in self.texts]


NO_AXIS = Axis(Kind("", "Nothing", str), ("",), (None,))


def axis(text: str) -> Axis:
    """`NAME=VALUE,VALUE,…` as an argument."""
    name, equals, values = text.partition("=")
    kind = KINDS.get(name.strip().lower().replace("_", "-"))
    if kind is None or not equals:
        raise argparse.ArgumentTypeError(
            f"expected NAME=VALUE,VALUE,… with NAME one of {', '.join(KINDS)}; got {text!r}"
        )
    texts = [part.strip() for row in csv.reader([values], skipinitialspace=True) for part in row]
    if kind.ranges:
        texts = [one for part in texts for one in _expand(part)]
    if not texts or "" in texts:
        raise argparse.ArgumentTypeError(f"{name}: expected values between the commas, got {values!r}")
    if len(texts) > MAX_VALUES:
        raise argparse.ArgumentTypeError(f"{name}: expected at most {MAX_VALUES} values, got {len(texts)}")
    try:
        read = tuple(kind.read(one) for one in texts)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{name}: {error}") from None
    if kind.setting == "seed":  # -1 is drawn once, so that the label can say it
        read = tuple(arguments.drawn(seed) for seed in read)
        texts = [str(seed) for seed in read]
    return Axis(kind, tuple(texts), read)


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
