"""`samplers.run` and `iterate`: a scheduler config, a bare network, and nothing else; and how its output is read."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.models.published import SD1_SCHEDULER as SD
from latentrt.noise import TorchGenerator
from latentrt.samplers.lms import integrals
from latentrt.schedule.prediction import FORMS, Prediction

SHAPE = (2, 4, 3, 3)
MU = 0.7


def config_of(name: str, **rest: Any) -> dict[str, Any]:
    return {**SD, "clip_sample": False, **rest, "_class_name": name}


def point(prediction_type: str) -> Any:
    """A network whose x₀ is MU everywhere, for Stable Diffusion's noise levels."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas_cumprod = np.cumprod(1 - betas)

    def network(x: np.ndarray, timestep: float) -> np.ndarray:
        alpha_bar = alphas_cumprod[round(timestep)]
        epsilon = (x - math.sqrt(alpha_bar) * MU) / math.sqrt(1 - alpha_bar)
        if prediction_type == "epsilon":
            return epsilon
        if prediction_type == "v_prediction":
            return math.sqrt(alpha_bar) * epsilon - math.sqrt(1 - alpha_bar) * MU
        return np.full_like(x, MU)

    return network


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "DDPMScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]
)
def test_a_network_that_knows_the_answer(name: str, kind: str, dtype: Any) -> None:
    """Read as each prediction type, in either precision. The alphas here are float64, there float32: 1e-4."""
    noise = TorchGenerator(0).randn(SHAPE, dtype)
    config = config_of(name, prediction_type=kind, set_alpha_to_one=True, timestep_spacing="leading")
    sample = samplers.run(config, point(kind), noise, 10, seed=1)
    assert sample.dtype == dtype
    np.testing.assert_allclose(sample, MU, atol=2e-3 if kind != "sample" else 1e-6)


def test_iterate_ends_in_what_run_returns() -> None:
    noise = TorchGenerator(0).randn(SHAPE)
    config = config_of("EulerAncestralDiscreteScheduler")
    steps = list(samplers.iterate(config, point("epsilon"), noise, 7, seed=3))
    assert [step.index for step in steps] == list(range(7))
    np.testing.assert_array_equal(steps[-1].x, samplers.run(config, point("epsilon"), noise, 7, seed=3))
    again = samplers.run(config, point("epsilon"), noise, 7, rng=TorchGenerator(3))
    np.testing.assert_array_equal(steps[-1].x, again)


def test_a_step_is_in_the_classs_own_scaling() -> None:
    """DDIM's sample has unit variance, Euler's the variance of σ² + 1."""
    noise = TorchGenerator(0).randn((1, 4, 64, 64))
    ddim = next(samplers.iterate(config_of("DDIMScheduler"), lambda x, t: x, noise, 20))
    euler = next(samplers.iterate(config_of("EulerDiscreteScheduler"), lambda x, t: x, noise, 20))
    assert ddim.x.std() == pytest.approx(1, abs=0.05)
    assert euler.x.std() == pytest.approx(11, abs=2)


def test_strength_draws_its_noise_first() -> None:
    clean = np.full(SHAPE, 0.3, np.float32)
    config = config_of("EulerDiscreteScheduler")
    first: list[np.ndarray] = []

    def network(x: np.ndarray, timestep: float) -> np.ndarray:
        first.append(x)
        return np.zeros_like(x)

    samplers.run(config, network, clean, 10, seed=5, strength=0.5)
    assert len(first) == 5
    sigma = samplers.resolve(None, config).schedule(10).truncated(0.5).sigmas[0]
    noised = clean + sigma * TorchGenerator(5).randn(SHAPE)
    np.testing.assert_allclose(first[0], noised / math.hypot(1, sigma), rtol=1e-6)


def test_float64_draws_torchs_float64_stream() -> None:
    config = config_of("DDIMScheduler")
    seen = samplers.run(config, lambda x, t: np.zeros_like(x), np.zeros(SHAPE), 1, seed=2, eta=1.0)
    schedule = samplers.resolve(None, config).schedule(1)
    stop, start = schedule.stops[0], schedule.sigmas[0]
    up = stop * math.sqrt(1 - (stop / start) ** 2)
    expected = up * TorchGenerator(2).randn(SHAPE, np.float64) / math.hypot(1, schedule.sigmas[1])
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seed": 1, "rng": TorchGenerator(1)}, "expected one of them"),
        ({"strength": 0.5}, "seed or an rng"),
        ({"strength": 1.5, "seed": 1}, "strength"),
        ({"eta": 0.5}, "only ddim"),
        ({"s_churn": -1.0}, "s_churn"),
        ({"temperature": 1.0}, "no such option"),
        ({"timesteps": [5, 3]}, "expected that or None, got 10"),
        ({"mu": 1.0}, "mu: EulerDiscreteScheduler takes none"),
    ],
)
def test_refuses_before_the_first_step(options: dict[str, Any], match: str) -> None:
    def network(x: np.ndarray, timestep: float) -> np.ndarray:
        raise AssertionError("the network was asked")

    with pytest.raises(InputError, match=match):
        samplers.iterate(
            config_of("EulerDiscreteScheduler"), network, np.zeros(SHAPE, np.float32), 10, **options
        )


def test_refuses_a_dtype() -> None:
    with pytest.raises(InputError, match="float16"):
        samplers.run(config_of("DDIMScheduler"), point("epsilon"), np.zeros(SHAPE, np.float16), 10)


def test_learned_variances_need_the_channels() -> None:
    config = config_of("DDPMScheduler", variance_type="learned_range")
    with pytest.raises(InputError, match="expected 8 channels"):
        samplers.run(config, lambda x, t: x, np.ones(SHAPE, np.float32), 5, seed=1)
    double = samplers.run(
        config, lambda x, t: np.concatenate([x, x], axis=1), np.ones(SHAPE, np.float32), 5, seed=1
    )
    assert double.shape == SHAPE


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────────────

READINGS = [
    *(
        Prediction(kind, form=form)
        for kind in ("epsilon", "v_prediction", "sample")
        for form in ("vp", "flow")
    ),
    Prediction("flow_prediction", form="flow"),
    Prediction("flow_prediction", form="flow", reversed=True),
    Prediction("epsilon", sigma_data=0.5),
    Prediction("v_prediction", sigma_data=0.5),
]


@given(sigma=st.floats(1e-3, 1e4), reading=st.sampled_from(READINGS))
@settings(max_examples=100)
def test_an_output_is_read_and_written_again(sigma: float, reading: Prediction) -> None:
    x, output = (
        TorchGenerator(0).randn((2, 2, 2, 2), np.float64),
        TorchGenerator(1).randn((2, 2, 2, 2), np.float64),
    )
    x = x * math.hypot(1, sigma)
    denoised = reading.denoised(output, x, sigma)
    # Written again from x₀ it has lost what x₀ is larger than it.
    slack = 1e-15 * max(1.0, float(np.abs(x).max())) / min(sigma, 1.0) * 10
    np.testing.assert_allclose(reading.output(denoised, x, sigma), output, rtol=1e-9, atol=slack)


@given(sigma=st.floats(1e-3, 1e4))
@settings(max_examples=50)
def test_every_type_says_the_same_x0(sigma: float) -> None:
    """From x₀ and ε, what each network was trained to say, and what its input is."""
    x0, epsilon = (
        TorchGenerator(0).randn((1, 1, 4, 4), np.float64),
        TorchGenerator(1).randn((1, 1, 4, 4), np.float64),
    )
    x, alpha, s = x0 + sigma * epsilon, 1 / math.hypot(1, sigma), sigma / (1 + sigma)
    said = {
        Prediction("epsilon"): epsilon,
        Prediction("v_prediction"): alpha * epsilon - alpha * sigma * x0,
        Prediction("sample"): x0,
        Prediction("flow_prediction", form="flow"): epsilon - x0,
        Prediction("flow_prediction", form="flow", reversed=True): x0 - epsilon,
    }
    for reading, output in said.items():
        np.testing.assert_allclose(reading.denoised(output, x, sigma), x0, atol=1e-14 * max(1, sigma) * 10)
    flow = Prediction("flow_prediction", form="flow").input(x, sigma)
    np.testing.assert_allclose(flow, (1 - s) * x0 + s * epsilon, atol=1e-14)
    vp = Prediction().input(x, sigma)
    np.testing.assert_allclose(vp, alpha * x0 + alpha * sigma * epsilon, atol=1e-14)
    assert set(FORMS) == {"vp", "ve", "flow"}


def test_refuses_a_prediction_type() -> None:
    with pytest.raises(
        InputError, match="prediction_type: expected one of epsilon, v_prediction, got 'sample'"
    ):
        Prediction("sample", sigma_data=0.5)


# ── linear multistep ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_weights_of_even_steps_are_those_of_adams_and_bashforth() -> None:
    got = integrals(np.array([4.0, 5.0, 6.0, 7.0]), 3.0)
    np.testing.assert_allclose(got, [-55 / 24, 59 / 24, -37 / 24, 9 / 24], rtol=1e-13)
    assert integrals(np.array([4.0]), 3.0) == [-1.0]


@given(st.lists(st.floats(0.1, 20), min_size=4, max_size=4, unique=True), st.floats(0, 20))
@settings(max_examples=100)
def test_integrals_of_cubics_are_exact(points: list[float], end: float) -> None:
    nodes = np.sort(points)
    if np.diff(nodes).min() < 0.05:
        return
    weights = integrals(nodes, end)
    for power in range(4):
        exact = (end ** (power + 1) - nodes[0] ** (power + 1)) / (power + 1)
        scale = float(np.abs(weights) @ nodes**power) + 1
        assert float(np.dot(weights, nodes**power)) == pytest.approx(exact, abs=1e-11 * scale)


def test_what_is_no_argument_is_named() -> None:
    x = np.zeros(SHAPE, np.float32)
    with pytest.raises(InputError, match=r"config: expected the dict of a scheduler_config\.json, got str"):
        samplers.run("scheduler_config.json", lambda x, t: x, x, 2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="x: expected a numpy array, got list"):
        samplers.run({"_class_name": "DDIMScheduler"}, lambda x, t: x, [0.0], 2)  # type: ignore[arg-type]
    for output in (None, x[:, :1], x[0]):
        with pytest.raises(InputError, match=r"network: expected an output of shape .*, got"):
            samplers.run({"_class_name": "DDIMScheduler"}, lambda x, t, y=output: y, x, 2)


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("flow_euler", "DDIMScheduler"),
        ("edm_euler", "PNDMScheduler"),
        ("euler", "FlowMatchEulerDiscreteScheduler"),
        ("ddim", "EDMEulerScheduler"),
    ],
)
def test_a_sampler_for_networks_of_another_family_is_refused(name: str, class_name: str) -> None:
    with pytest.raises(InputError, match=f"sampler: {name} is for networks trained .*, {class_name}, says"):
        samplers.resolve(name, {"_class_name": class_name})
