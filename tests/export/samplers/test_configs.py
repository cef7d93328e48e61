"""Scheduler configs as they are found: old ones of every release, and zero-SNR ones under another class's name."""

from typing import Any

import diffusers
import numpy as np
import pytest

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.samplers.registry import REGISTRY
from latentrt.schedule import CLASSES, ZERO_SNR_SIGMA, from_config
from parity.case import Case
from parity.compare import Comparison
from parity.oracle import case_scheduler, scheduler_class
from parity.verdict import EQUAL, ROUNDING, TIMESTEP, judge

# Of diffusers' KDPM2 under numpy 2, which is none of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
# As diffusers wrote them, from its first release on: with keys that it dropped since (tensor_format, timestep_values,
# predict_epsilon), without those that came later, and with those of kindred classes.
OLD: dict[str, dict[str, Any]] = {
    "0.0.4 DDIM": {
        "_class_name": "DDIMScheduler",
        "beta_end": 0.0195,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.0015,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "timestep_values": None,
        "timesteps": 1000,
        "trained_betas": None,
    },
    "0.1.1 DDPM": {
        "_class_name": "DDPMScheduler",
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "clip_sample": True,
        "num_train_timesteps": 1000,
        "tensor_format": "pt",
        "trained_betas": None,
        "variance_type": "fixed_large",
    },
    "0.2.2 PNDM": {
        "_class_name": "PNDMScheduler",
        **SD,
        "num_train_timesteps": 1000,
        "skip_prk_steps": True,
        "tensor_format": "pt",
    },
    "0.2.2 PNDM with Runge-Kutta": {"_class_name": "PNDMScheduler", **SD, "num_train_timesteps": 1000},
    "0.2.4 LMS": {
        "_class_name": "LMSDiscreteScheduler",
        **SD,
        "num_train_timesteps": 1000,
        "tensor_format": "pt",
        "timestep_values": None,
    },
    "0.5.1 DDPM": {
        "_class_name": "DDPMScheduler",
        **SD,
        "clip_sample": False,
        "predict_epsilon": False,  # dropped, and taken for true today
        "variance_type": "fixed_small_log",
    },
    "0.6.0 PNDM": {
        "_class_name": "PNDMScheduler",
        **SD,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
    },
    "0.7.0 Euler": {"_class_name": "EulerDiscreteScheduler", **SD, "trained_betas": None},
    "0.8.0 DPM++": {
        "_class_name": "DPMSolverMultistepScheduler",
        **SD,
        "algorithm_type": "dpmsolver++",
        "dynamic_thresholding_ratio": 0.995,
        "lower_order_final": True,
        "predict_epsilon": True,
        "sample_max_value": 1.0,
        "solver_order": 2,
        "solver_type": "midpoint",
        "thresholding": False,
        "trained_betas": None,
    },
    "0.10.0 DPM++ single step": {
        "_class_name": "DPMSolverSinglestepScheduler",
        **SD,
        "algorithm_type": "dpmsolver++",
        "lower_order_final": True,
        "prediction_type": "v_prediction",
        "solver_order": 3,
        "solver_type": "heun",
    },
    "0.10.0 Heun": {"_class_name": "HeunDiscreteScheduler", **SD, "prediction_type": "epsilon"},
    "0.11.0 KDPM2": {"_class_name": "KDPM2DiscreteScheduler", **SD, "prediction_type": "v_prediction"},
    "0.13.0 DEIS": {
        "_class_name": "DEISMultistepScheduler",
        **SD,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "thresholding": False,
    },
    "0.14.0 UniPC": {
        "_class_name": "UniPCMultistepScheduler",
        **SD,
        "disable_corrector": [],
        "lower_order_final": True,
        "predict_x0": True,
        "solver_order": 2,
        "solver_p": None,
        "solver_type": "bh2",
    },
    "0.19.0 Euler": {
        "_class_name": "EulerDiscreteScheduler",
        **SD,
        "clip_sample": False,
        "interpolation_type": "linear",
        "prediction_type": "epsilon",
        "sample_max_value": 1.0,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "trained_betas": None,
        "use_karras_sigmas": False,
    },
    "0.21.0 DPM++ with Lu's": {
        "_class_name": "DPMSolverMultistepScheduler",
        **SD,
        "euler_at_final": False,
        "lambda_min_clipped": -float("inf"),
        "solver_type": "bh2",
        "use_karras_sigmas": False,
        "use_lu_lambdas": True,
        "variance_type": None,
    },
    "0.24.0 defaults left out": {
        "_class_name": "EulerDiscreteScheduler",
        **SD,
        "_use_default_values": ["timestep_spacing", "use_karras_sigmas"],
        "timestep_spacing": "trailing",
        "use_karras_sigmas": True,
    },
}


@pytest.mark.parametrize("count", [4, 20])
@pytest.mark.parametrize("written", sorted(OLD))
def test_an_old_config_is_read_as_diffusers_reads_it_today(written: str, count: int) -> None:
    config = {**OLD[written], "_diffusers_version": written.split()[0]}
    case = Case(config["_class_name"], config, count)
    theirs = case_scheduler(case).config
    options = from_config(case.class_name, config)
    assert {key: options[key] for key in CLASSES[case.class_name].defaults} == {
        key: bool(theirs[key]) if isinstance(default, bool) else theirs[key]
        for key, default in CLASSES[case.class_name].defaults.items()
    }
    comparison = Comparison(case)
    assert comparison.timesteps <= (TIMESTEP if case.class_name == "KDPM2DiscreteScheduler" else 0)
    assert comparison.float32 <= 1e-5


@pytest.mark.parametrize("name", sorted(CLASSES))
@pytest.mark.parametrize("written", ["0.5.1 DDPM", "0.6.0 PNDM", "0.8.0 DPM++", "0.14.0 UniPC"])
def test_an_old_config_of_another_class_is_read_so_too(written: str, name: str) -> None:
    config = {**OLD[written], "_diffusers_version": written.split()[0]}
    try:
        theirs = case_scheduler(Case(name, config, 4)).config
    except NotImplementedError:  # SA-Solver has an algorithm_type of its own
        with pytest.raises(InputError, match="algorithm_type"):
            from_config(name, config)
        return
    options = from_config(name, config)
    assert all(options[key] == theirs[key] for key in CLASSES[name].defaults)


def test_what_todays_class_refuses_of_an_old_config_is_refused() -> None:
    """`dpmsolver` ended above σ = 0 before there was `final_sigmas_type`, whose default it cannot do with."""
    config = {"_class_name": "DPMSolverMultistepScheduler", **SD, "algorithm_type": "dpmsolver"}
    with pytest.raises(ValueError, match="final_sigmas_type"):
        diffusers.DPMSolverMultistepScheduler.from_config(config)
    with pytest.raises(InputError, match="expected final_sigmas_type sigma_min"):
        samplers.resolve(None, config).schedule(5)


# ── zero terminal SNR ────────────────────────────────────────────────────────────────────────────────────────────────

ZERO = {**SD, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False}
# By what the last training timestep is in each class that knows of it; the others pass the option over.
LAST = {
    "DDIMScheduler": ZERO_SNR_SIGMA,  # ᾱ = 0
    "DDPMScheduler": ZERO_SNR_SIGMA,
    "LCMScheduler": ZERO_SNR_SIGMA,
    "TCDScheduler": ZERO_SNR_SIGMA,
    "DPMSolverMultistepScheduler": 4096.0,  # ᾱ = 2⁻²⁴
    "EulerAncestralDiscreteScheduler": 4096.0,
    "EulerDiscreteScheduler": 4096.0,
    "UniPCMultistepScheduler": 4096.0,
}


def test_each_class_has_the_last_sigma_of_diffusers() -> None:
    knowing = {name for name, built in CLASSES.items() if "rescale_betas_zero_snr" in built.defaults}
    assert knowing == set(LAST)
    for name, last in LAST.items():
        alpha = float(scheduler_class(name).from_config(ZERO).alphas_cumprod[-1])
        assert alpha == (0 if last == ZERO_SNR_SIGMA else 2.0**-24)
        config = {**ZERO, "_class_name": name, "prediction_type": "v_prediction"}
        config |= {"original_inference_steps": 1000}
        begins = samplers.resolve(None, config).schedule(4).sigmas[0]
        assert begins == pytest.approx(last, rel=1e-6)


@pytest.mark.parametrize("strength", [None, 1.0, 0.5])
@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
@pytest.mark.parametrize("name", sorted(LAST))
def test_zero_snr_equals_diffusers(name: str, kind: str, strength: float | None) -> None:
    """Initial noise, `add_noise` at the last timestep, and every step; infinity's stand-in is not to be told apart."""
    if kind == "sample" and name == "EulerAncestralDiscreteScheduler":
        pytest.skip("diffusers has no sample prediction there")
    case = Case(name, {**ZERO, "_class_name": name, "prediction_type": kind}, 10, strength=strength)
    comparison = Comparison(case)
    assert comparison.timesteps == 0
    # diffusers' Euler loses digits of an x as large as 4096: see "rounding" in the grid.
    assert judge(comparison, wide=True) in (EQUAL, ROUNDING)
    assert comparison.float32 <= (3e-5 if name.startswith("Euler") else 1e-5)


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDPMScheduler", "LCMScheduler"])
def test_noise_predicted_at_zero_snr_is_good_where_it_is_clipped(name: str) -> None:
    config = {**ZERO, "_class_name": name, "prediction_type": "epsilon"}
    with pytest.raises(InputError, match="at zero SNR"):
        samplers.resolve(None, config).schedule(5)
    assert Comparison(Case(name, {**config, "clip_sample": True}, 5)).float32 <= 1e-5


@pytest.mark.parametrize("sampler", sorted(REGISTRY))
def test_a_sampler_by_name_has_the_schedule_of_its_class_from_a_zero_snr_config(sampler: str) -> None:
    config = {**ZERO, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
    spec = REGISTRY[sampler]
    try:
        ours = samplers.resolve(sampler, config).schedule(8)
    except InputError as error:
        assert "is for networks trained" in str(error)
        return
    scheduler = scheduler_class(spec.class_name).from_config({**config, **spec.overrides})
    scheduler.set_timesteps(8)
    np.testing.assert_allclose(ours.timesteps, scheduler.timesteps.numpy(), rtol=0, atol=2.4e-4)
    if hasattr(scheduler, "sigmas") and spec.class_name in LAST:
        np.testing.assert_allclose(ours.sigmas, scheduler.sigmas.numpy(), rtol=1e-4)
