"""Solvers in the runs that AUTOMATIC1111 recorded, with its sigmas, conditionings and noise: the latents agree."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from a1111_cases import Case, Replay, Run, read_case, recorded_schedule

import latentrt
from latentrt.models.published import SD1_SCHEDULER
from latentrt.painting.upscale import UPSCALERS, enlarge
from latentrt.samplers.ddim import ddim
from latentrt.samplers.ddim_cfg_pp import ddim_cfg_pp
from latentrt.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from latentrt.samplers.dpm_fast import dpm_fast
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpmpp_2s_ancestral import dpmpp_2s_ancestral
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.heun import heun
from latentrt.samplers.lcm_unscaled import lcm_unscaled
from latentrt.samplers.lms import lms
from latentrt.samplers.pndm import pndm
from latentrt.samplers.unipc import unipc
from latentrt.schedule import from_config
from latentrt.schedule.counted import counted_schedule, counted_timesteps
from latentrt.schedule.prediction import Prediction
from latentrt.schedule.sigma_table import sigma_table
from latentrt.schedule.sigmas import normal

Find = Callable[[str], Path]


@pytest.fixture(scope="module")
def unet() -> Iterator[Run]:
    with (
        latentrt.load("demo", device="cpu", dtype="fp32") as pipeline,
        pipeline.networks.stage("unet") as runner,
    ):
        yield runner.run


@pytest.fixture
def case(request: pytest.FixtureRequest, data_file: Find) -> Case:
    return read_case(data_file("a1111/index.json"), request.param)


HEUN, DPM2, DPM2_A = "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"
ONCE = "EulerDiscreteScheduler"
# Of each case the solver with its options, and how the schedule is laid out.
RUNS: dict[str, tuple[Callable[..., Any], str]] = {
    "sampler_euler": (euler, ONCE),
    "sampler_lms": (lms, ONCE),
    "sampler_heun": (heun, HEUN),
    "sampler_dpm2_a": (dpm_2_ancestral, DPM2_A),
    "sampler_dpmpp_2s_a": (dpmpp_2s_ancestral, DPM2_A),
    "schedule_karras_dpmpp_2m": (dpm_multistep, ONCE),
    "batch_euler_a": (euler_ancestral, ONCE),
    "prompt_and_negative": (euler, ONCE),
    "prompt_edit": (euler, ONCE),
    "prompt_edit_heun": (heun, HEUN),
    "prompt_long_negative": (euler, ONCE),
    "eta_euler_a": (partial(euler_ancestral, eta=0.5), ONCE),
    "eta_euler_a_0": (partial(euler_ancestral, eta=0.0), ONCE),
    "eta_dpmpp_2s_a": (partial(dpmpp_2s_ancestral, eta=0.5), DPM2_A),
    "noise_dpm2_a": (partial(dpm_2_ancestral, s_noise=0.9), DPM2_A),
    "noise_euler_a_ignored": (euler_ancestral, ONCE),
    "churn_dpm2": (partial(dpm_2, s_churn=2.0), DPM2),
}


@pytest.mark.parametrize("case", RUNS, indirect=True)
def test_replayed(unet: Run, case: Case) -> None:
    solver, class_name = RUNS[case.name]
    schedule = recorded_schedule(case.arrays["sigmas"], class_name)
    denoise = Replay(unet, case)
    *_, last = solver(denoise, schedule.initial(case.arrays["noise"]), schedule, case.fresh())
    assert np.abs(last.x - case.arrays["final"]).max() <= case.tolerance
    if len(case.arrays["evals"]) == len(denoise.timesteps):  # one call of the network for each
        np.testing.assert_allclose(denoise.timesteps, case.arrays["evals"], rtol=1e-5, atol=1e-3)


OPTIONS = from_config("DDIMScheduler", SD1_SCHEDULER)
UNIPC = {"solver_order": 3, "predict_x0": True, "lower_order_final": True}
# Of each case what counts its timesteps, the solver, and how the second stage of a picture's run begins.
COUNTED: dict[str, tuple[Any, Callable[..., Any], int | None]] = {
    "sampler_ddim": ("ddim", ddim, None),
    "sampler_ddim_cfgpp": ("ddim", ddim_cfg_pp, None),
    "sampler_plms": ("plms", pndm, None),
    "prompt_edit_plms": ("plms", pndm, None),
    "sampler_unipc_12": ("unipc", partial(unipc, solver_type="bh1", **UNIPC), None),
    "option_unipc_bh2": ("unipc", partial(unipc, solver_type="bh2", **UNIPC), None),
    "ensd_ddim_eta": ("ddim", partial(ddim, eta=0.5), None),
    "option_ztsnr_ddim": ("ddim", ddim, None),
    "img2img_ddim_06": ("ddim", ddim, 4),
    "img2img_ddim_06_exact": ("ddim", ddim, 7),
}


@pytest.mark.parametrize("case", COUNTED, indirect=True)
def test_replayed_as_counted(unet: Run, case: Case) -> None:
    kind, solver, begin = COUNTED[case.name]
    count = case.settings["steps"]
    if case.name.endswith("exact"):
        count = int(count / case.settings["denoising_strength"])
    zero_snr = "ztsnr" in case.name
    options = {**OPTIONS, "rescale_betas_zero_snr": True} if zero_snr else OPTIONS
    schedule = counted_schedule(kind, options, count, begin=begin)
    np.testing.assert_array_equal(counted_timesteps(1000, count), case.arrays["timesteps"])
    np.testing.assert_allclose(schedule.timesteps, case.arrays["evals"], rtol=1e-6, atol=1e-4)
    alphas = 1 / (1 + schedule.train_sigmas**2)
    denoise = Replay(unet, case, whole=alphas)
    noise = case.arrays["noise"]
    x = schedule.initial(noise) if begin is None else schedule.noised(case.arrays["init_latent"], noise)
    seed = case.settings["override_settings"].get("eta_noise_seed_delta", 0)
    *_, last = solver(denoise, x.astype(np.float32), schedule, case.fresh(seed))
    assert np.abs(schedule.final(last.x) - case.arrays["final"]).max() <= case.tolerance


@pytest.mark.parametrize("case", ["hires_latent", "hires_editing"], indirect=True)
def test_two_passes(unet: Run, case: Case) -> None:
    """The second begins with the enlarged latents under noise of its own, and edits its prompt by its own steps."""
    schedule = recorded_schedule(case.arrays["sigmas"])
    *_, last = euler(Replay(unet, case), schedule.initial(case.arrays["noise"]), schedule, None)
    size = case.arrays["noise_2"].shape[2:]
    enlarged = enlarge(last.x, (size[0], size[1]), UPSCALERS["latent"])
    assert np.abs(enlarged - case.arrays["init_latent"]).max() <= case.tolerance
    rest = recorded_schedule(case.arrays["sigmas_2"]).since(3)
    x = rest.noised(enlarged, case.arrays["noise_2"])
    *_, last = euler(Replay(unet, case, pass_of="hires_"), x, rest, None)
    assert np.abs(last.x - case.arrays["final"]).max() <= case.tolerance


@pytest.mark.parametrize("case", ["sampler_lcm"], indirect=True)
def test_latent_consistency(unet: Run, case: Case) -> None:
    """It knows every 20th timestep, reads noise whatever the network predicts, and has its boundary on x itself."""
    table = sigma_table(OPTIONS, "alphas").every(20)
    sigmas = normal(table, case.settings["steps"])
    np.testing.assert_array_max_ulp(sigmas, case.arrays["sigmas"], 2)
    schedule = recorded_schedule(sigmas)
    nearest = np.abs(np.log(sigmas[:-1, None]) - table.logs).argmin(axis=1)
    schedule = dataclasses.replace(schedule, timesteps=nearest * 20.0 + 19)
    denoise = Replay(unet, case, prediction=Prediction("epsilon"))
    x = schedule.initial(case.arrays["noise"])
    *_, last = lcm_unscaled(denoise, x, schedule, case.fresh(), boundary_scaling=10.0)
    assert denoise.timesteps == case.arrays["evals"].tolist()
    assert np.abs(last.x - case.arrays["final"]).max() <= case.tolerance


@pytest.mark.parametrize("case", ["img2img_dpm_fast"], indirect=True)
def test_dpm_fast(unet: Run, case: Case) -> None:
    schedule = recorded_schedule(case.arrays["sigmas"]).since(3)
    denoise = Replay(unet, case)
    x = schedule.noised(case.arrays["init_latent"], case.arrays["noise"])
    *_, last = dpm_fast(denoise, x, schedule, case.fresh(), eta=1.0)
    np.testing.assert_allclose(denoise.timesteps, case.arrays["evals"], rtol=1e-5, atol=1e-3)
    assert np.abs(last.x - case.arrays["final"]).max() <= case.tolerance
