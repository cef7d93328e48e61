"""Schedules: what a run starts from, what img2img keeps of it, and what is refused."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt.errors import InputError
from latentrt.schedule import (
    CLASSES,
    ZERO_SNR_SIGMA,
    Evaluation,
    Schedule,
    from_config,
    make_schedule,
    reinterpret,
)
from latentrt.schedule.beta import beta_ppf
from latentrt.schedule.betas import make_alphas_cumprod
from latentrt.schedule.ramps import exponential, karras, sigma_to_timestep

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
NAMES = sorted(CLASSES)
EDM = ("EDMDPMSolverMultistepScheduler", "EDMEulerScheduler")  # whose network is told c_noise
TWICE = (
    "DPMSolverSDEScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
)
# Which start from σ times noise where the spacing is not leading, and call the state itself a sample.
EULERS = (*TWICE, "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler", "LMSDiscreteScheduler")


def schedule(name: str, count: int, **config: Any) -> Schedule:
    whole = {**SD, "skip_prk_steps": True, "original_inference_steps": 1000, **config}
    return make_schedule(name, from_config(name, whole), count)


def evaluations(name: str, count: int) -> int:
    if name in TWICE:
        return 2 * count - 1
    return count + 1 if name == "PNDMScheduler" and count > 1 else count


def test_alphas_cumprod_of_stable_diffusion() -> None:
    alphas_cumprod = make_alphas_cumprod(num_train_timesteps=1000, **SD)
    assert alphas_cumprod.dtype == np.float32
    assert alphas_cumprod.shape == (1000,)
    assert np.all(np.diff(alphas_cumprod) < 0)
    exact = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    np.testing.assert_allclose(alphas_cumprod, exact, rtol=2e-6)
    # The sigmas that k-diffusion and everybody after it state for Stable Diffusion.
    sigmas = np.sqrt((1 - alphas_cumprod.astype(np.float64)) / alphas_cumprod)
    assert sigmas[0] == pytest.approx(0.0292, abs=1e-4)
    assert sigmas[-1] == pytest.approx(14.6146, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@settings(max_examples=25)
@given(count=st.integers(1, 400))
def test_invariants(name: str, spacing: str, count: int) -> None:
    s = schedule(name, count, timestep_spacing=spacing)
    n = len(s)
    assert n == evaluations(name, count)
    assert s.num_inference_steps == count
    assert s.sigmas.shape == (n + 1,)
    assert s.stops.shape == s.starts.shape == s.timesteps.shape == (n,)
    assert all(array.dtype == np.float64 for array in (s.sigmas, s.timesteps, s.stops, s.starts))
    # KDPM2's ancestral middles are the next step's sigma, but for diffusers' rounding.
    falling = s.sigmas[::2] if name == "KDPM2AncestralDiscreteScheduler" else s.sigmas
    assert np.all(np.diff(falling) <= 1e-12 * falling[:-1])
    # Half way in log σ is a timestep that float32 may find beyond its neighbour.
    falling = s.timesteps[::2] if name == "KDPM2AncestralDiscreteScheduler" else s.timesteps
    assert np.all(np.diff(falling) <= (1e-3 if name in TWICE else 0))
    assert np.all(s.sigmas[:-1] > 0)
    assert s.timesteps.max() <= (1000 if name == "FlowMatchEulerDiscreteScheduler" else 999)
    assert s.timesteps.min() >= (-2 if name in EDM else 0)
    assert s.stops[-1] == s.sigmas[-1]


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("name", NAMES)
def test_iterated_it_gives_where_the_network_is_asked(name: str, strength: float) -> None:
    s = schedule(name, 5).truncated(strength)
    expected = zip(s.sigmas[:-1].tolist(), s.timesteps.tolist(), s.sigmas[1:].tolist(), strict=True)
    assert list(s) == [Evaluation(i, *rest) for i, rest in enumerate(expected)]
    assert list(s) == list(s)  # as often as one likes


def test_frozen() -> None:
    s = schedule("DDIMScheduler", 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.order = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        s.sigmas[0] = 1


@pytest.mark.parametrize(("name", "spacing"), [(n, s) for n in NAMES for s in ("leading", "trailing")])
def test_initial_scale(name: str, spacing: str) -> None:
    s = schedule(name, 20, timestep_spacing=spacing)
    noise = np.ones((1, 4, 2, 2), np.float32)
    sigma = s.sigmas[0]
    if name == "FlowMatchEulerDiscreteScheduler":
        expected = 1 + sigma
    else:
        expected = sigma if name in EULERS and spacing == "trailing" else math.sqrt(1 + sigma**2)
    assert s.initial(noise).dtype == np.float32
    # EDM's first sigma and its scale of noise are rounded to float32 separately.
    np.testing.assert_allclose(s.initial(noise), expected, rtol=2e-7 if name in EDM else 1e-7)
    np.testing.assert_allclose(s.noised(noise, 2 * noise), 1 + 2 * sigma, rtol=1e-6)


def test_final_scale_at_a_nonzero_end() -> None:
    x = np.ones((1, 4, 2, 2), np.float32)
    ddim = schedule("DDIMScheduler", 20, set_alpha_to_one=False)
    assert ddim.sigmas[-1] > 0
    np.testing.assert_allclose(ddim.final(x), 1 / math.sqrt(1 + ddim.sigmas[-1] ** 2), rtol=1e-7)
    for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
        s = schedule(name, 20, final_sigmas_type="sigma_min")
        assert s.sigmas[-1] == pytest.approx(0.0292, abs=1e-4)
        scale = 1 if name.startswith("Euler") else 1 / math.sqrt(1 + s.sigmas[-1] ** 2)
        np.testing.assert_allclose(s.final(x), scale, rtol=1e-7)
    np.testing.assert_array_equal(schedule("DDIMScheduler", 20).final(x), x)


@given(count=st.integers(1, 100), strength=st.floats(0, 1), name=st.sampled_from(NAMES))
def test_truncated_keeps_what_img2img_keeps(count: int, strength: float, name: str) -> None:
    whole = schedule(name, count)
    kept = min(int(count * strength), count)
    assert whole.order == (2 if name in TWICE else 1)
    if kept == 0:
        with pytest.raises(InputError, match="leaves none"):
            whole.truncated(strength)
        return
    part = whole.truncated(strength)
    begin = (count - kept) * whole.order
    assert part.timesteps.tolist() == whole.timesteps[begin:].tolist()
    assert part.sigmas.tolist() == whole.sigmas[begin:].tolist()
    assert len(part.stops) == len(part.starts) == len(part)
    assert part.num_inference_steps == count


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_refuses_a_strength_out_of_range(strength: float) -> None:
    with pytest.raises(InputError, match="strength"):
        schedule("DDIMScheduler", 20).truncated(strength)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [0, -1, 1001, 10**9, 2.5, "20", None, float("nan")])
def test_refuses_a_number_of_steps(name: str, count: Any) -> None:
    with pytest.raises(InputError, match="num_inference_steps"):
        schedule(name, count)


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_steps(name: str) -> None:
    assert len(schedule(name, np.int64(1000), timestep_spacing="linspace")) >= 1000  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler", *EULERS])
def test_leading_to_the_last_timestep(name: str) -> None:
    assert schedule(name, 1000, timestep_spacing="leading").timesteps[0] == 999
    with pytest.raises(InputError, match="beyond the last"):
        schedule(name, 1000, timestep_spacing="leading", steps_offset=1)


def test_a_multistep_class_leaves_the_lowest_of_its_points_out() -> None:
    with pytest.raises(InputError, match="at most 999"):
        schedule("DPMSolverMultistepScheduler", 1000, timestep_spacing="leading")


@pytest.mark.parametrize(
    ("name", "config", "match"),
    [
        ("DDIMScheduler", {"beta_schedule": "sigmoid"}, "beta_schedule"),
        ("DDIMScheduler", {"timestep_spacing": "middle"}, "timestep_spacing"),
        ("DPMSolverMultistepScheduler", {"timestep_spacing": "middle"}, "timestep_spacing"),
        ("DDIMScheduler", {"prediction_type": "flow_prediction"}, "prediction_type"),
        ("DDIMScheduler", {"trained_betas": [0.1, 0.2]}, "trained_betas: expected 1000 of them"),
        (
            "DDIMScheduler",
            {"trained_betas": [float("nan")] * 1000},
            "trained_betas: expected a list of numbers",
        ),
        ("DDIMScheduler", {"num_train_timesteps": 0}, "num_train_timesteps"),
        ("DDIMScheduler", {"num_train_timesteps": "1000"}, "num_train_timesteps"),
        ("DDIMScheduler", {"steps_offset": -1}, "steps_offset"),
        ("DDIMScheduler", {"beta_start": "0.1"}, "beta_start: expected a number"),
        ("DDIMScheduler", {"beta_end": -0.1}, "from 0 to 1"),
        ("DDIMScheduler", {"beta_end": float("nan")}, "beta_end"),
        ("DDIMScheduler", {"beta_schedule": None}, "beta_schedule"),
        ("DDIMScheduler", {"num_train_timesteps": True}, "num_train_timesteps"),
        ("DDIMScheduler", {"trained_betas": "many"}, "trained_betas"),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "sigma_max": -1.0}, "sigma_max"),
        ("EulerDiscreteScheduler", {"use_beta_sigmas": True, "sigma_min": "low"}, "sigma_min"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "dpm"}, "algorithm_type"),
        ("DPMSolverMultistepScheduler", {"solver_order": 4}, "solver_order"),
        ("DDIMScheduler", {"beta_schedule": "sigmoid"}, "beta_schedule"),
        ("DDPMScheduler", {"variance_type": "fixed"}, "variance_type"),
        ("EDMEulerScheduler", {"prediction_type": "sample"}, "prediction_type"),
        ("EDMEulerScheduler", {"sigma_schedule": "beta"}, "sigma_schedule"),
        ("EDMEulerScheduler", {"sigma_min": 0.0}, "sigma_min"),
        ("FlowMatchEulerDiscreteScheduler", {"time_shift_type": "square"}, "time_shift_type"),
        ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}, "mu"),
        ("DPMSolverMultistepScheduler", {"final_sigmas_type": "half"}, "final_sigmas_type"),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "use_beta_sigmas": True}, "only one"),
    ],
)
def test_refuses_what_is_not_built(name: str, config: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        schedule(name, 10, **config)


def test_zero_terminal_snr() -> None:
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    s = schedule("DDIMScheduler", 10, prediction_type="v_prediction", **zero)
    assert s.sigmas[0] == ZERO_SNR_SIGMA
    noise = np.linspace(-4, 4, 16, dtype=np.float32).reshape(1, 4, 2, 2)
    # The network's input, x / √(1 + σ²), is the noise to the last bit.
    np.testing.assert_array_equal(s.initial(noise) / math.sqrt(1 + ZERO_SNR_SIGMA**2), noise)
    with pytest.raises(InputError, match="zero SNR"):
        schedule("DDIMScheduler", 10, prediction_type="epsilon", clip_sample=False, **zero)
    # Where the last timestep is not visited, the predicted noise is as good as ever.
    assert schedule("DDIMScheduler", 10, rescale_betas_zero_snr=True).sigmas[0] < 100
    for name in ("EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
        assert schedule(name, 10, **zero).sigmas[0] == pytest.approx(4096, rel=1e-6)


def test_options_of_a_class_from_a_config_of_another() -> None:
    pndm = {**SD, "_class_name": "PNDMScheduler", "skip_prk_steps": True, "clip_sample": False}
    assert from_config("DDIMScheduler", pndm)["clip_sample"] is False
    assert from_config("DDIMScheduler", SD)["clip_sample"] is True  # the class's own default
    assert "clip_sample" not in from_config("EulerDiscreteScheduler", pndm)
    unset = {**SD, "timestep_spacing": "trailing", "_use_default_values": ["timestep_spacing"]}
    assert from_config("EulerDiscreteScheduler", unset)["timestep_spacing"] == "linspace"
    assert (
        from_config("DDIMScheduler", {}, set_alpha_to_one=False, use_karras_sigmas=True)["set_alpha_to_one"]
        is False
    )
    deis = {"algorithm_type": "deis", "solver_type": "logrho"}
    options = from_config("DPMSolverMultistepScheduler", deis)
    assert (options["algorithm_type"], options["solver_type"]) == ("dpmsolver++", "midpoint")


def test_ramps_keep_their_ends() -> None:
    for ramp in (karras, exponential):
        sigmas = ramp(14.6, 0.03, 12)
        assert sigmas[0] == pytest.approx(14.6, rel=1e-12)
        assert sigmas[-1] == pytest.approx(0.03, rel=1e-12)
        assert np.all(np.diff(sigmas) < 0)
    assert karras(14.6, 0.03, 3)[1] == pytest.approx(
        ((14.6 ** (1 / 7) + 0.03 ** (1 / 7)) / 2) ** 7, rel=1e-12
    )


def test_a_timestep_found_from_its_own_sigma() -> None:
    sigmas = np.sqrt(1 / make_alphas_cumprod(num_train_timesteps=1000, **SD).astype(np.float64) - 1)
    timesteps = np.array([0, 1, 500, 998, 999])
    np.testing.assert_allclose(sigma_to_timestep(sigmas[timesteps], np.log(sigmas)), timesteps, atol=1e-9)
    beyond = sigma_to_timestep(np.array([1e-3, 100.0]), np.log(sigmas))
    assert beyond.tolist() == [0, 999]


def test_beta_quantiles() -> None:
    assert beta_ppf(np.array([0.0, 0.5, 1.0]), 0.6, 0.6).tolist() == pytest.approx([0, 0.5, 1], abs=1e-14)
    # Beta(1/2, 1/2) is the arcsine distribution, Beta(a, 1) a power.
    p = np.linspace(0, 1, 101)
    np.testing.assert_allclose(beta_ppf(p, 0.5, 0.5), np.sin(np.pi * p / 2) ** 2, atol=1e-13)
    np.testing.assert_allclose(beta_ppf(p, 3.0, 1.0), p ** (1 / 3), atol=1e-10)


def test_reinterpret_keeps_the_variance_preserving_sample() -> None:
    x = np.array([3.0])
    assert reinterpret(x, 2.0, 2.0) is x
    moved = reinterpret(x, 2.0, 0.5)
    np.testing.assert_allclose(moved / math.sqrt(1 + 0.25), x / math.sqrt(1 + 4), rtol=1e-15)


# ── timesteps and sigmas of one's own ────────────────────────────────────────────────────────────────────────────────


def given(name: str, count: int | None = None, config: dict[str, Any] | None = None, **own: Any) -> Schedule:
    return make_schedule(name, from_config(name, {**SD, **(config or {})}), count, **own)


def test_own_timesteps_and_sigmas() -> None:
    s = given("DDPMScheduler", timesteps=[900, 500, 20])
    assert (s.timesteps.tolist(), s.num_inference_steps, s.sigmas[-1]) == ([900, 500, 20], 3, 0)
    s = given("HeunDiscreteScheduler", 3, timesteps=[900, 500, 20])
    assert s.timesteps.tolist() == [900, 500, 500, 20, 20]
    s = given("EulerDiscreteScheduler", sigmas=[10.0, 2.0, 0.5, 0.0])
    assert s.sigmas.tolist() == [10, 2, 0.5, 0]
    assert len(s) == s.num_inference_steps == 3
    s = given("FlowMatchEulerDiscreteScheduler", sigmas=[1.0, 0.5])
    assert s.sigmas.tolist() == [ZERO_SNR_SIGMA, 1.0, 0.0]
    assert s.timesteps.tolist() == [1000, 500]
    s = given("EDMEulerScheduler", sigmas=[0.0, 1.0])
    np.testing.assert_allclose(s.sigmas, [80, 0.002, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "own", "match"),
    [
        ("DDIMScheduler", {"timesteps": [3]}, "timesteps: DDIMScheduler takes none"),
        ("LMSDiscreteScheduler", {"sigmas": [3.0, 0.0]}, "sigmas: LMSDiscreteScheduler takes none"),
        ("EulerDiscreteScheduler", {"mu": 1.0}, "mu: EulerDiscreteScheduler takes none"),
        ("EulerDiscreteScheduler", {"timesteps": [3], "sigmas": [3.0, 0.0]}, "expected None with sigmas"),
        ("EulerDiscreteScheduler", {"timesteps": [3, 5]}, "descend"),
        ("EulerDiscreteScheduler", {"timesteps": [1000, 5]}, "at most 999"),
        ("EulerDiscreteScheduler", {"timesteps": []}, "at least one"),
        ("EulerDiscreteScheduler", {"timesteps": "many"}, "list of numbers"),
        ("EulerDiscreteScheduler", {"timesteps": [float("nan")]}, "finite"),
        ("EulerDiscreteScheduler", {"sigmas": [0.0]}, "two or more"),
        ("EulerDiscreteScheduler", {"sigmas": [1.0, 2.0, 0.0]}, "descend"),
        ("EulerDiscreteScheduler", {"count": 5, "timesteps": [9, 5]}, "expected that or None, got 5"),
        ("FlowMatchEulerDiscreteScheduler", {"sigmas": [0.5, 0.7]}, "descend"),
        ("FlowMatchEulerDiscreteScheduler", {"sigmas": [0.7], "timesteps": [3, 2]}, "as many of each"),
        ("EDMEulerScheduler", {"sigmas": [1.0, 0.0]}, "rise"),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"count": 1, "config": {"shift_terminal": 0.1}},
            "shift_terminal stretches",
        ),
        ("PNDMScheduler", {"count": 3, "config": {"skip_prk_steps": False}}, "at least 4"),
        (
            "EulerDiscreteScheduler",
            {"timesteps": [9], "config": {"use_karras_sigmas": True}},
            "use_karras_sigmas",
        ),
    ],
)
def test_refuses_what_a_class_does_not_take(name: str, own: dict[str, Any], match: str) -> None:
    own = {"count": 5, **own} if not {"timesteps", "sigmas", "count"} & set(own) else own
    with pytest.raises(InputError, match=match):
        given(name, **own)
