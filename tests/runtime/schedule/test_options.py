"""The table of options: whatever a config says, a schedule is finite or the error names the key."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError, ModelError
from latentrt.schedule import CLASSES, from_config, make_schedule
from latentrt.schedule.options import OPTIONS

WHERE = Path("model/scheduler/scheduler_config.json")
NAMES = sorted(CLASSES)
# Extreme numbers, wrong kinds, and what is right for one key or another.
NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    50,
    1000,
    0.0,
    0.02,
    0.5,
    1.0,
    80.0,
    1e-300,
    1e-30,
    1e-5,
    1e10,
    1e30,
    1e300,
    -1e300,
]
OTHERS = [
    None,
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    10**5000,
    2**63,
    "x",
    "",
    "1",
    b"x",
    [],
    {},
    [1],
    ["x"],
    [None],
    [[0.1]],
    (0.1,),
    {"a": 1},
    [0.0] * 1000,
    [1.0] * 1000,
    [0.01] * 1000,
    [math.nan] * 1000,
    np.float32(0.3),
    np.int64(3),
    np.array([0.1, 0.2]),
    np.array(3.0),
]


def values_of(name: str, key: str) -> st.SearchStrategy[Any]:
    """What the class takes, mostly; and anything."""
    words = CLASSES[name].supported.get(key, OPTIONS[key].values)
    if words is not None:
        right = st.sampled_from(words)
    elif OPTIONS[key].expected == "true or false":
        right = st.booleans()
    elif key == "num_train_timesteps":
        right = st.sampled_from([1, 2, 3, 10, 50, 1000])
    elif key in ("beta_start", "beta_end"):
        right = st.floats(0, 1)
    else:
        right = st.sampled_from(NUMBERS)
    return right | right | right | st.sampled_from([*NUMBERS, *OTHERS]) | st.floats()


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(NAMES))
    keys = sorted({**CLASSES[name].defaults, **CLASSES[name].carried})
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, max_size=4))
    return name, {key: draw(values_of(name, key)) for key in chosen}


def network(x: np.ndarray, timestep: float) -> np.ndarray:
    assert np.isfinite(x).all()
    assert math.isfinite(timestep)
    return 0.4 * np.tanh(x) + 0.1 * x


@settings(max_examples=500)
@given(made=configs(), count=st.sampled_from([1, 2, 3, 5, 25]))
def test_any_config_makes_a_finite_run_or_an_error_that_names_the_key(
    made: tuple[str, dict[str, Any]], count: int
) -> None:
    name, config = made
    try:
        schedule = make_schedule(name, from_config(name, config, where=WHERE), count, where=WHERE)
    except ModelError as error:
        assert str(error).startswith(f"{WHERE}: ")
        assert any(key in str(error) for key in OPTIONS)
        return
    except InputError as error:  # what is given to the run, which such a config bounds
        assert str(error).startswith(("num_inference_steps: ", "mu: "))
        return
    for array in (schedule.sigmas, schedule.timesteps, schedule.stops, schedule.starts):
        assert np.isfinite(array).all()
    assert (schedule.sigmas[:-1] > 0).all()
    learned = config.get("variance_type") in ("learned", "learned_range")
    x = np.random.RandomState(0).standard_normal((1, 2, 2, 2)).astype(np.float32)

    def learning(x: np.ndarray, timestep: float) -> np.ndarray:
        output = network(x, timestep)
        return np.concatenate([output, np.tanh(output) ** 2], axis=1) if learned else output

    if isinstance(config.get("noise_sampler_seed"), list | tuple | np.ndarray):
        return  # as many seeds as pictures
    steps = samplers.iterate({**config, "_class_name": name}, learning, x, count, seed=0)
    for _, step in zip(range(2), steps, strict=False):
        assert np.isfinite(step.x).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_a_class_stands_in_the_table(name: str) -> None:
    built = CLASSES[name]
    for key, value in {**built.defaults, **built.carried}.items():
        assert OPTIONS[key].settle(value, built.supported.get(key)) == value
    assert set(built.supported) <= set(built.defaults)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("clip_sample", "false", "true or false"),
        ("clip_sample", 1, "true or false"),
        ("beta_start", 1.5, "a number from 0 to 1"),
        ("beta_start", None, "a number from 0 to 1"),
        ("num_train_timesteps", 1000.0, "a whole number from 1 to 1000000"),
        ("trained_betas", "x", "a list of numbers from 0 to 1"),
        ("trained_betas", [0.1, "x"], "a list of numbers from 0 to 1"),
        ("trained_betas", range(5), "a list of numbers from 0 to 1"),
        ("prediction_type", "eps", "one of epsilon, v_prediction, sample"),
        ("sample_max_value", 0, "a number above 0"),
        ("clip_sample_range", -1, "a number from 0 to inf"),
        ("timestep_spacing", ["leading"], "one of leading, linspace, trailing"),
    ],
)
def test_a_wrong_value_is_told_of_with_its_file_key_and_what_is_allowed(
    key: str, value: Any, expected: str
) -> None:
    with pytest.raises(ModelError) as told:
        from_config("DDIMScheduler", {key: value}, where=WHERE)
    assert str(told.value).startswith(f"{WHERE}: {key}: expected {expected}")
    assert str(told.value).endswith(f"got {value!r:.80}")
    assert (told.value.exit_code, isinstance(told.value, InputError)) == (1, False)
    with pytest.raises(InputError) as callers:  # a config of the caller's
        from_config("DDIMScheduler", {key: value})
    assert str(callers.value).startswith(f"scheduler config: {key}: expected {expected}")
    with pytest.raises(InputError) as override:
        from_config("DDIMScheduler", {}, where=WHERE, **{key: value})
    assert str(override.value).startswith(f"{key}: expected {expected}")
    assert override.value.exit_code == 2


def test_an_override_is_taken_though_the_config_has_nonsense_there() -> None:
    options = from_config("DDIMScheduler", {"prediction_type": 7}, where=WHERE, prediction_type="sample")
    assert options["prediction_type"] == "sample"


def test_null_is_false_and_numbers_of_numpy_are_numbers() -> None:
    config = {"thresholding": None, "beta_start": np.float32(0.5), "num_train_timesteps": np.int64(7)}
    options = from_config("DDIMScheduler", {**config, "clip_sample_range": math.inf})
    assert options["thresholding"] is False
    assert (options["beta_start"], options["num_train_timesteps"]) == (0.5, 7)
    assert options["clip_sample_range"] == math.inf


@pytest.mark.parametrize(
    ("name", "config", "named"),
    [
        ("EulerDiscreteScheduler", {"beta_end": 1}, "beta_end 1"),  # ᾱ is 0: infinite σ
        (
            "EulerDiscreteScheduler",
            {"beta_start": 0.0},
            "beta_start 0.0",
        ),  # the network would be asked at σ = 0
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "sigma_max": 1e-3}, "sigma_max 0.001"),
        ("EDMEulerScheduler", {"rho": 1e-3}, "rho 0.001"),
        ("HeunDiscreteScheduler", {"beta_start": 1e-300}, "beta_start 1e-300"),
        ("SASolverScheduler", {"beta_start": 0}, "beta_start"),
        ("DDIMScheduler", {"beta_start": 1}, "prediction_type epsilon with beta_start"),
        (
            "DDIMScheduler",
            {"rescale_betas_zero_snr": True, "num_train_timesteps": 1},
            "rescale_betas_zero_snr",
        ),
    ],
)
def test_the_config_is_blamed_for_a_schedule_that_no_run_can_go_by(
    name: str, config: dict[str, Any], named: str
) -> None:
    config = {"clip_sample": False, "timestep_spacing": "linspace", **config}
    options = from_config(name, config, where=WHERE)
    count = min(10, options["num_train_timesteps"])
    with pytest.raises(ModelError, match=f"{WHERE}: .*{named}"):
        make_schedule(name, options, count, where=WHERE)
    with pytest.raises(InputError, match=f"scheduler config: .*{named}"):
        make_schedule(name, options, count)


def test_a_beta_of_0_is_a_step_without_noise_where_classes_step_by_alpha() -> None:
    """DDIM may ask at ᾱ = 1, where x is the picture."""
    config = {"_class_name": "DDIMScheduler", "beta_start": 0.0, "clip_sample": False}
    x = np.random.RandomState(0).standard_normal((1, 4, 2, 2)).astype(np.float32)
    *before, last = samplers.iterate(config, network, x, 10)
    assert last.timestep == 0
    np.testing.assert_allclose(last.x, before[-1].x, rtol=1e-6)


@pytest.mark.parametrize("listed", [7, "timestep_spacing", {"a": 1}])
def test_names_of_defaults_are_a_list(listed: Any) -> None:
    with pytest.raises(ModelError, match="_use_default_values: expected a list of names"):
        from_config("DDIMScheduler", {"_use_default_values": listed}, where=WHERE)


def test_the_file_is_named_from_a_sampler_on() -> None:
    with pytest.raises(ModelError, match=f"{WHERE}: _class_name: expected a word"):
        samplers.resolve(None, {"_class_name": 3}, where=WHERE)
    with pytest.raises(ModelError, match=f"{WHERE}: clip_sample"):
        samplers.resolve("ddim", {"clip_sample": "no"}, where=WHERE)
    euler = samplers.resolve("euler", {"beta_end": 1}, where=WHERE)
    with pytest.raises(ModelError, match=f"{WHERE}: .*beta_end"):
        euler.schedule(5)
    with pytest.raises(ModelError, match=f"{WHERE}: .*beta_end"):
        samplers.resolve("euler", {"beta_end": 1}, "karras", where=WHERE).schedule(5)
    with pytest.raises(InputError, match="num_inference_steps"):
        euler.schedule(0)


def test_a_config_as_json_writes_it() -> None:
    config = json.loads('{"lambda_min_clipped": -Infinity, "trained_betas": null, "disable_corrector": [1]}')
    assert from_config("DPMSolverMultistepScheduler", config)["lambda_min_clipped"] == -math.inf
    assert from_config("UniPCMultistepScheduler", config)["disable_corrector"] == [1]
