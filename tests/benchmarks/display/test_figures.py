"""Numbers as text: three digits, the unit that fits, nothing lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt_bench.display import figures

POSITIVE = st.floats(1e-12, 1e15)


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (figures.significant, 0.012345, "0.0123"),
        (figures.significant, 9.999, "10.0"),
        (figures.significant, 12345.0, "12,300"),
        (figures.significant, 0, "0"),
        (figures.significant, -1.5, "-1.50"),
        (figures.seconds, 0, "0 s"),
        (figures.seconds, 4.2e-8, "0.0420 µs"),
        (figures.seconds, 0.99999, "1.00 s"),
        (figures.seconds, 0.0523, "52.3 ms"),
        (figures.seconds, 599.0, "599 s"),
        (figures.seconds, 1404.0, "23.4 min"),
        (figures.seconds, 18756.0, "5.21 h"),
        (figures.size, 999_999_999, "1.00 GB"),
        (figures.size, 45_600_000, "45.6 MB"),
        (figures.size, 61e12, "61.0 TB"),
        (figures.count, 274_056_163, "274 M"),
        (figures.macs, 101_200_000_000, "101 GMAC"),
        (figures.rate, 74.1e9, "74.1 GMAC/s"),
        (figures.bandwidth, 14e9, "14.0 GB/s"),
        (figures.ratio, 5.118, "5.12×"),
        (figures.percent, 0.0312, "3.1 %"),
        (figures.percent, 0.0999, "10 %"),
        (figures.percent, 0.814, "81 %"),
        (figures.energy, 1234.0, "1.23 kJ"),
        (figures.decibels, 35.67, "35.7 dB"),
        (figures.short_seconds, 0.01, "10 ms"),
    ],
)
def test_forms(form, value, text):
    assert form(value) == text


@pytest.mark.parametrize(
    "form", [figures.significant, figures.seconds, figures.size, figures.rate, figures.ratio, figures.percent]
)
@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash(form, nothing):
    assert form(nothing) == "–"


@given(POSITIVE)
def test_three_digits_are_kept(value):
    told = float(figures.significant(value).replace(",", ""))
    assert told == pytest.approx(value, rel=0.005)


@given(POSITIVE)
def test_a_duration_is_told_in_a_unit_that_fits(value):
    number, unit = figures.seconds(value).split()
    scale = {"µs": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}[unit]
    told = float(number.replace(",", ""))
    assert told * scale == pytest.approx(value, rel=0.005)
    assert told >= 1 or unit == "µs"
