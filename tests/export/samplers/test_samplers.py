"""Samplers against diffusers itself, over options that hypothesis chooses."""

import inspect
import json
import math
import types
from typing import Any

import diffusers
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.models.published import SD1_SCHEDULER as SD15
from latentrt.schedule import CLASSES
from parity import golden
from parity.oracle import scheduler_class

SHAPE = (2, 4, 5, 3)
# Of which hypothesis chooses options; the grid of test_grid.py has every class.
NAMES = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "PNDMScheduler",
)
FLAGS = {
    "EulerDiscreteScheduler": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", None),
    "DPMSolverMultistepScheduler": (
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        None,
    ),
}


def cut_to_whole(name: str, config: dict[str, Any]) -> bool:
    """Whether the class finds its timesteps from sigmas and cuts off, not rounds, their fractions."""
    if name != "DPMSolverMultistepScheduler":
        return False
    rounds = config.get("beta_schedule") != "squaredcos_cap_v2"
    cut = ("use_exponential_sigmas", "use_beta_sigmas")
    return any(config.get(flag) for flag in (cut if rounds else FLAGS[name]) if flag)


def compare(name: str, config: dict[str, Any], count: int, bound: float = 1e-5, **rest: Any) -> float:
    """Timesteps, sigmas, every state. Returns the worst relative error of a state."""
    theirs = golden.reference(name, config, count, shape=SHAPE, **rest)
    schedule, states = golden.ours(name, config, count, shape=SHAPE, **rest)
    timesteps = theirs["timesteps"].astype(np.float64)
    fractional = name == "EulerDiscreteScheduler" and any(config.get(flag) for flag in FLAGS[name] if flag)
    if cut_to_whole(name, config) and schedule.timesteps.tolist() != timesteps.tolist():
        # A sigma that is a training timestep's own gives 999 or 998.9999, cut to 998, by the last bit of a square root.
        assert np.abs(schedule.timesteps - timesteps).max() == 1
        return math.nan
    if not fractional:
        assert schedule.timesteps.tolist() == timesteps.tolist()
    else:
        # torch takes the square root of MKL, which on some CPUs is not correctly rounded (AMD: a fifth of the values).
        np.testing.assert_allclose(schedule.timesteps, timesteps, rtol=0, atol=2e-4)
    if len(theirs["sigmas"]):
        rtol = 1e-4 if config.get("rescale_betas_zero_snr") else 1e-6
        expected = theirs["sigmas"][: len(schedule.sigmas)]
        np.testing.assert_allclose(schedule.sigmas, expected, rtol=rtol, atol=1e-12)
    # diffusers' Euler steps by x + (σ' − σ)·(x − x₀)/σ, and its PNDM by a like sum, in which the rounding of an x as
    # large as σ stays for good. It counts where σ begins above Stable Diffusion's 14.6: 40 to 160 with other betas.
    highest = float(schedule.sigmas[0])
    cancels = name not in ("DDIMScheduler", "DPMSolverMultistepScheduler")
    slack = 2.0**-21 * highest if cancels and highest > 20 else 0.0
    worst = 0.0
    for state, want in zip(states, theirs["samples"], strict=True):
        assert np.isfinite(state).all()
        if not np.isfinite(want).all():
            # Karras and the like already end at σ_min; `final_sigmas_type` sigma_min then adds a step of length 0, by
            # which diffusers' heun divides.
            assert config["solver_type"] == "heun"
            assert math.isclose(schedule.sigmas[-1], schedule.sigmas[-2], rel_tol=1e-6)
            break
        error, size = float(np.abs(state - want).max()), float(np.abs(want).max())
        assert error <= bound * size + slack
        worst = max(worst, error / size)
    return worst


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(NAMES))
    kinds = ["epsilon", "v_prediction"]
    if name not in ("PNDMScheduler", "EulerAncestralDiscreteScheduler"):
        kinds.append("sample")
    config: dict[str, Any] = {
        "beta_start": draw(st.sampled_from([0.0001, 0.00085, 0.0015])),
        "beta_end": draw(st.sampled_from([0.012, 0.0195, 0.02])),
        "beta_schedule": draw(st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"])),
        "num_train_timesteps": draw(st.sampled_from([1000, 1000, 250])),
        "prediction_type": draw(st.sampled_from(kinds)),
        "timestep_spacing": draw(st.sampled_from(["leading", "linspace", "trailing"])),
        "steps_offset": draw(st.integers(0, 2)),
        "set_alpha_to_one": draw(st.booleans()),
        "clip_sample": draw(st.booleans()),
        "clip_sample_range": draw(st.sampled_from([1.0, 1.5])),
        "thresholding": draw(st.sampled_from([False, False, True])),
        "sample_max_value": draw(st.sampled_from([1.0, 2.0])),
        "final_sigmas_type": draw(st.sampled_from(["zero", "sigma_min"])),
        "skip_prk_steps": True,
        "solver_order": draw(st.sampled_from([1, 2, 2])),
        "solver_type": draw(st.sampled_from(["midpoint", "heun"])),
        "lower_order_final": draw(st.booleans()),
        "euler_at_final": draw(st.booleans()),
    }
    if flag := draw(st.sampled_from(FLAGS.get(name, (None,)))):
        config[flag] = True
    run: dict[str, Any] = {"count": draw(st.integers(1, 40))}
    if draw(st.booleans()):
        run["strength"] = draw(st.floats(0.05, 1.0))
        assume(int(run["count"] * run["strength"]) > 0)
    if name == "DDIMScheduler":
        run["eta"] = draw(st.sampled_from([0.0, 0.0, 0.5, 1.0]))
    return {"name": name, "config": config, **run}


@settings(max_examples=150, derandomize=True)
@given(run=runs())
def test_any_run_equals_diffusers(run: dict[str, Any]) -> None:
    # Cosine betas reach σ = 20,000, where float32 fails diffusers in several ways (DDIM with eta gives NaN).
    schedule = samplers.resolve(run["name"], run["config"]).schedule(run["count"])
    assume(schedule.sigmas[0] < 1000)
    # PNDM takes the noise back out of float32 x₀, (x − x₀)/σ, good to 1e-5 at σ = 0.01; where its strides do not meet
    # its timesteps it then multiplies that by a σ a hundred times as large.
    compare(**run, bound=3e-5 if run["name"] == "PNDMScheduler" else 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_models_that_people_have(name: str, kind: str) -> None:
    """The published scheduler configs, at the step counts in use."""
    sdxl = {
        **golden.SD,
        "_class_name": "EulerDiscreteScheduler",
        "interpolation_type": "linear",
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
        "skip_prk_steps": True,
        "sample_max_value": 1.0,
    }
    for config in (SD15, sdxl):
        for count in (20, 28, 30, 50):
            assert compare(name, {**config, "prediction_type": kind}, count) <= 1e-5


def test_the_golden_files_are_what_diffusers_gives() -> None:
    index = json.loads((golden.GOLDEN / "samplers.json").read_text())
    cases = golden.cases()
    assert len(index["cases"]) == len(cases)
    with np.load(golden.GOLDEN / "samplers.npz") as arrays:
        samples = arrays["samples"]
    for row, case in list(zip(index["cases"], cases, strict=True))[::9]:
        assert (row["class_name"], row["count"]) == (case["class_name"], case["count"])
        begin, end = row["samples"]
        np.testing.assert_allclose(
            golden.reference(**case)["samples"], samples[begin:end], rtol=1e-5, atol=1e-5
        )


def test_strength_equals_the_img2img_pipelines() -> None:
    pipeline = diffusers.StableDiffusionImg2ImgPipeline
    for name in NAMES:
        config = {**golden.SD, "skip_prk_steps": True}
        for count in (1, 3, 20, 50):
            scheduler = getattr(diffusers, name).from_config(config)
            scheduler.set_timesteps(count)
            whole = samplers.resolve(name, config).schedule(count)
            for strength in (0.02, 0.1, 0.3, 0.35, 0.5, 0.55, 0.75, 0.8, 0.999, 1.0):
                host = types.SimpleNamespace(scheduler=scheduler)
                timesteps, steps = pipeline.get_timesteps(host, count, strength, None)
                if steps == 0:
                    with pytest.raises(InputError):
                        whole.truncated(strength)
                else:
                    assert whole.truncated(strength).timesteps.tolist() == timesteps.tolist()


def test_where_diffusers_runs_one_step_too_many() -> None:
    """Trailing spacing divides by a float: of 61 steps it makes 62, the last at timestep −1. We leave that one out."""
    for name in ("DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"):
        config = {**golden.SD, "timestep_spacing": "trailing"}
        scheduler = getattr(diffusers, name).from_config(config)
        scheduler.set_timesteps(61)
        theirs = scheduler.timesteps.tolist()
        assert len(theirs) == 62
        assert theirs[-1] == -1
        assert samplers.resolve(name, config).schedule(61).timesteps.tolist() == theirs[:-1]


def test_defaults_are_diffusers_own() -> None:
    assert len(CLASSES) == 21
    for name, built in CLASSES.items():
        signature = inspect.signature(scheduler_class(name).__init__)
        theirs = {key: p.default for key, p in signature.parameters.items() if key != "self"}
        assert theirs == built.defaults, name
