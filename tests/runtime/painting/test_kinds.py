"""Kinds of values: what they take, and the way through text."""

import pickle
from typing import get_args

import numpy as np
import pytest

from latentrt.checks import DEVICES, DTYPES
from latentrt.engine import providers
from latentrt.errors import SettingError
from latentrt.networks import Dtype
from latentrt.painting.kinds import Choice, Flag, Interval, Number, Scale, Seed, Seeds, Size, Text, Whole
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import declared, shown


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Text(), "a, b", "a, b"),
        (Whole(1), 25, "25"),
        (Number(), 7.0, "7"),
        (Number(), 0.1 + 0.2, "0.30000000000000004"),
        (Flag("Yes", "No"), True, "Yes"),
        (Flag("Yes", "No"), False, "No"),
        (Choice(("cpu", "nv")), "nv", "NV"),
        (Size(), (512, 384), "512x384"),
        (Seed(), 2**64 - 1, "18446744073709551615"),
        (Seeds(), [3, 4], "3,4"),
        (Scale(), 7.5, "7.5"),
        (Scale(), (9.0, 3.0), "9 3"),
        (Interval(), (0.0, 0.75), "0 0.75"),
    ],
)
def test_what_is_written_is_read_again(kind, value, text):
    assert kind.write(value) == text
    assert kind.read("x", text) == value
    assert kind.check("x", value) == value


@pytest.mark.parametrize(
    ("kind", "value", "checked"),
    [
        (Whole(), np.int64(3), 3),
        (Number(0, 1), np.float32(0.5), 0.5),
        (Flag(), np.True_, True),
        (Flag(), 1, True),
        (Size(), [8, 16], (8, 16)),
        (Seeds(), range(2), [0, 1]),
        (Seeds(), -1, None),  # a random one, as in the whole field
        (Seeds(), [5, np.int64(-1)], [5, None]),
        (Seeds(), -2, -2),  # as torch takes it
        (Scale(), np.array([9, 3]), (9.0, 3.0)),
        (Scale(), np.array(7.5), 7.5),
        (Scale(), np.float32(7.5), 7.5),
        (Seeds(), np.array([1, 2]), [1, 2]),
        (Seeds(), np.uint64(2**64 - 1), 2**64 - 1),
        (Size(), np.array([96, 64]), (96, 64)),
        (Interval(), np.array([0, 0.5]), (0.0, 0.5)),
        (Interval(), [0, 1], (0.0, 1.0)),
    ],
)
def test_values_become_plain(kind, value, checked):
    plain = kind.check("x", value)
    assert (plain, type(plain)) == (checked, type(checked))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Text(), None, "x: expected text, got None"),
        (Whole(1, 9), 10, "x: expected a whole number from 1 to 9, got 10"),
        (Whole(), True, "x: expected a whole number, got True"),
        (Number(0), -1, "x: expected a number of 0 or more, got -1"),
        (Number(0, 1, above=True), 0, "x: expected more than 0 and at most 1, got 0"),
        (Number(1, above=True), 1, "x: expected more than 1, got 1"),
        (Number(), "7", "x: expected a finite number, got '7'"),
        (Flag(), "True", "x: expected True or False, got 'True'"),
        (Flag(), 2, "x: expected True or False, got 2"),
        (Choice(("cpu", "nv")), "NV", "x: expected one of cpu, nv, got 'NV'"),
        (Size(), (8,), "x: expected a width and a height, 512x512 as text, got (8,)"),
        (Size(), (8_000_000, 8_000_000), "x: expected at most 67,108,864 pixels, got 8000000x8000000"),
        (Flag(), np.array([1, 0]), "x: expected True or False, got array"),
        (Choice(("cpu", "nv")), np.array(["cpu", "nv"]), "x: expected one of cpu, nv, got array"),
        (Choice(("cpu", "nv")), ["cpu"], "x: expected one of cpu, nv, got ['cpu']"),
        (
            Number(0, 1, above=True, why="0 is none"),
            0,
            "x: expected more than 0 and at most 1 (0 is none), got 0",
        ),
        (Interval(), "01", "x: expected (start, end) with 0 <= start < end <= 1, got '01'"),
        (Interval(), {0: 0, 1: 1}, "x: expected (start, end)"),
        (Scale(), {9: 3}, "x: expected a finite number"),
        (Seeds(), "ab", "x: expected a whole number from"),
        (Seeds(), [], "x: expected a seed, or a list of at least one, got []"),
        (Scale(), (), "x: expected a number, or several, got ()"),
        (Scale(), [1, None], "x: expected a finite number, got None"),
        (Interval(), (0.5, 0.5), "x: expected (start, end) with 0 <= start < end <= 1, got (0.5, 0.5)"),
    ],
)
def test_refused(kind, value, message):
    with pytest.raises(SettingError) as caught:
        kind.check("x", value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Whole(), "1.5"),
        (Whole(), "9" * 21),
        (Number(), "seven"),
        (Flag(), "yes"),
        (Size(), "64"),
        (Seed(), "-2"),
        (Seeds(), "1,,2"),
        (Scale(), "9,"),
        (Scale(), ""),
        (Interval(), "0.5"),
        (Interval(), "0.5,x"),
    ],
)
def test_a_text_that_holds_none_is_refused_with_what_it_holds(kind, text):
    with pytest.raises(SettingError, match="x: expected"):
        kind.read("x", text)


def test_an_error_names_settings_as_its_face_does_and_survives_a_process():
    error = SettingError("seed", "does nothing without clip_skip", others=("clip_skip",))
    for one in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert str(one) == "seed: does nothing without clip_skip"
        assert one.told({"seed": "--seed", "clip_skip": "--clip-skip"}.get) == (
            "--seed: does nothing without --clip-skip"
        )
    path = SettingError("eta", expected="a number", got="seed/clip_skip")
    assert path.told(lambda name: f"--{name}") == "--eta: expected a number, got 'seed/clip_skip'"


def test_random_is_none():
    assert Seed().read("x", "-1") is None
    assert Seeds().read("x", "5, -1") == [5, None]


def test_defaults_are_of_their_kind_and_options_of_one_setting():
    for of in (*RUNS.values(), Hires):
        settings = declared(of)
        for name, setting in settings.items():
            if setting.default is not None:
                assert setting.kind.check(name, setting.default) == setting.default
            assert f"{name}: {setting.help}" in " ".join(of.__doc__.split())
        options = [setting.option for setting in shown(of).values() if setting.option is not None]
        assert all(option.help for option in options)
        assert len({option.name for option in options}) == len(options)


def test_devices_are_those_of_the_engine():
    assert set(DEVICES) == {"auto", *(status.name for status in providers.survey())}
    assert ("auto", *get_args(Dtype)) == DTYPES
