"""Measured numbers as text, all benchmarks alike: three significant digits with a unit, "–" where there is none."""

import math

NONE = "–"


def significant(value: float | None, digits: int = 3) -> str:
    """The number rounded to so many significant digits, without an exponent: "0.0123", "1.52", "12,300"."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))  # 9.999 has become 10.0
    return f"{rounded:,.{max(decimals, 0)}f}"


def _scaled(value: float | None, unit: str, steps: tuple[tuple[float, str], ...]) -> str:
    """The number in the largest unit that leaves it at 1 or above, else in the smallest."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return f"0 {unit}".rstrip()
    for factor, prefix in steps:
        if abs(value) >= factor * (1 - 0.5e-3):  # what rounds to 1 of the larger unit is told in it
            return f"{significant(value / factor)} {prefix}{unit}"
    factor, prefix = steps[-1]
    return f"{significant(value / factor)} {prefix}{unit}"


def seconds(value: float | None) -> str:
    """A duration: "12.3 µs", "52.3 ms", "1.52 s", "23.4 min", "5.21 h"; minutes from 10, hours from 2."""
    if value is not None and math.isfinite(value):
        if value >= 7200:
            return f"{significant(value / 3600)} h"
        if value >= 600:
            return f"{significant(value / 60)} min"
    return _scaled(value, "s", ((1, ""), (1e-3, "m"), (1e-6, "µ")))


def size(value: float | None) -> str:
    """Bytes: "12.3 kB", "45.6 MB", "1.23 GB"; 1 GB is 10⁹ bytes."""
    return _scaled(value, "B", ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def count(value: float | None) -> str:
    """A large number of things: "274 M", "1.07 G"."""
    text = _scaled(value, "", ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))
    return text.rstrip()


def macs(value: float | None) -> str:
    """Multiply-accumulates: "101 GMAC"."""
    return _scaled(value, "MAC", ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def rate(value: float | None) -> str:
    """Multiply-accumulates a second: "74.1 GMAC/s"."""
    text = macs(value)
    return text if text == NONE else f"{text}/s"


def bandwidth(value: float | None) -> str:
    """Bytes a second: "12.3 GB/s"."""
    text = size(value)
    return text if text == NONE else f"{text}/s"


def ratio(value: float | None) -> str:
    """How many times: "5.12×"."""
    text = significant(value)
    return text if text == NONE else f"{text}×"


def percent(value: float | None) -> str:
    """A share of 1 in whole percent, below 10 % with one decimal: "81 %", "3.2 %"."""
    if value is None or not math.isfinite(value):
        return NONE
    hundredths = 100 * value
    return f"{hundredths:.1f} %" if abs(round(hundredths, 1)) < 10 else f"{hundredths:.0f} %"


def energy(value: float | None) -> str:
    """Joules: "12.3 J", "1.23 kJ"."""
    return _scaled(value, "J", ((1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m")))


def decibels(value: float | None) -> str:
    """Decibels with one decimal: "35.7 dB"."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.1f} dB"


def short_seconds(value: float) -> str:
    """A round duration at an axis: "10 ms", "1 s"."""
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    factor, unit = next((pair for pair in units if value >= pair[0] * 0.999), units[-1])
    return f"{value / factor:g} {unit}"
