"""Schedules in sigma against what ComfyUI and AUTOMATIC1111 recorded, each with its own table and formulas."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from a1111_cases import names, read_case
from comfy_cases import read_case as read_workflow

from latentrt.errors import InputError
from latentrt.models.published import SD1_SCHEDULER
from latentrt.samplers.automatic import AUTOMATIC
from latentrt.samplers.registry import SCHEDULE_LABELS, find, schedule_of
from latentrt.schedule import from_config
from latentrt.schedule.comfy import Convention, comfy_schedule
from latentrt.schedule.sigma_table import sigma_table
from latentrt.schedule.sigmas import FORMULAS, TAKE_RHO

Find = Callable[[str], Path]
OPTIONS = from_config("EulerDiscreteScheduler", SD1_SCHEDULER)
ZERO_SNR = {**OPTIONS, "rescale_betas_zero_snr": True}
LATENT_CONSISTENCY = 50  # it takes a table of so many timesteps there: another schedule


def test_those_of_automatic1111(data_file: Find) -> None:
    index, compared = data_file("a1111/index.json"), set()
    for name in names(index):
        case = read_case(index, name)
        asked, options = case.settings, case.settings["override_settings"]
        found = find(asked["sampler_name"])
        if "sigmas" not in case.arrays or found is None or found.key == "lcm":
            continue
        schedule = schedule_of(asked["scheduler"]) or AUTOMATIC.get(found.key, "uniform")
        recorded = case.arrays["sigmas"]
        dropped = found.key.startswith("dpm_2") or "always_discard_next_to_last_sigma" in options
        count = len(recorded) - 1 + dropped
        zero_snr = options.get("sd_noise_schedule") == "Zero Terminal SNR"
        table = sigma_table(ZERO_SNR if zero_snr else OPTIONS, "alphas")
        rho = options.get("rho")
        formula = FORMULAS["a1111"][schedule]
        made = formula(table, count) if rho is None else TAKE_RHO[schedule](table, count, rho)
        made = np.delete(made, -2) if dropped else made
        if zero_snr or rho:  # rescaled in float32 there; a small power of what float32 has subtracted
            np.testing.assert_allclose(made, recorded, rtol=2e-5)
        else:  # torch's square root was off by a unit in float32's last place in a fifth of all values
            np.testing.assert_array_max_ulp(made, recorded, 2)
        compared.add(schedule)
    assert compared >= {
        "uniform",
        "normal",
        "karras",
        "exponential",
        "polyexponential",
        "sgm_uniform",
        "ddim_uniform",
    }


@pytest.mark.parametrize("folder", ["comfy", "comfyxl"])
def test_those_of_comfyui(folder: str, data_file: Find) -> None:
    index, compared = data_file(f"{folder}/index.json"), set()
    for entry in json.loads(index.read_text())["cases"]:
        case = read_workflow(index, entry["name"])
        for key, recorded in case.arrays.items():
            if not key.startswith("sigmas_"):
                continue
            asked = case.workflow[key.removeprefix("sigmas_")]["inputs"]
            if asked.get("denoise", 1) != 1 or "start_at_step" in asked:
                continue
            dropped = asked["sampler_name"] in ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")
            zero_snr = entry["name"] == "vpred_zsnr"
            table = sigma_table(ZERO_SNR if zero_snr else OPTIONS, "sigmas")
            made = FORMULAS["comfyui"][asked["scheduler"]](table, asked["steps"] + dropped)
            made = np.delete(made, -2) if dropped else made
            np.testing.assert_array_max_ulp(made, recorded, 2)
            compared.add(asked["scheduler"])
    if folder == "comfy":
        assert compared >= {"normal", "karras", "beta", "ddim_uniform", "kl_optimal", "linear_quadratic"}


def test_the_same_name_may_mean_two_things() -> None:
    table = sigma_table(OPTIONS)
    lowest, highest = table.lowest, table.highest
    comfyui, webui = (FORMULAS[program] for program in ("comfyui", "a1111"))
    assert comfyui["kl_optimal"](table, 8)[-2:] == pytest.approx([lowest, 0], rel=1e-6)
    assert webui["kl_optimal"](table, 8)[-1] == pytest.approx(lowest, rel=1e-6)
    # Beta(0.6, 0.6) is symmetric: the middle quantile is the middle, of σ there and of the timesteps here.
    assert webui["beta"](table, 9)[4] == pytest.approx((lowest + highest) / 2, rel=1e-6)
    assert comfyui["beta"](table, 8)[4] == table.sigmas[500]
    assert webui["align_your_steps"](table, 11)[[0, 3, 10, 11]].tolist() == pytest.approx(
        [14.615, 2.697, 0.029, 0]
    )
    assert comfyui["align_your_steps"](table, 10)[[0, 3, 9, 10]].tolist() == pytest.approx(
        [14.6146412, 2.694615, 0.15152327, 0]
    )
    # Half way between two of the published, in log σ.
    twice = comfyui["align_your_steps_sdxl"](table, 20)
    assert twice[1] == pytest.approx((14.6146412 * 6.31844853) ** 0.5)
    assert len(twice) == 21


@pytest.mark.parametrize("program", FORMULAS)
@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_all_of_them_fall(program: str, count: int) -> None:
    table = sigma_table(OPTIONS, "sigmas")
    assert set(FORMULAS[program]) == set(SCHEDULE_LABELS)
    for name, formula in FORMULAS[program].items():
        made = formula(table, count)
        assert made.dtype == np.float32
        assert np.all(np.diff(made) < 0), name
        assert len(made) - 1 == count or name in ("ddim_uniform", "beta", "beta57")


def test_ends_and_rho_can_be_given() -> None:
    table = sigma_table(OPTIONS).between(0.1, 10.0)
    karras = FORMULAS["a1111"]["karras"](table, 5)
    assert karras[[0, 4]].tolist() == pytest.approx([10, 0.1], rel=1e-6)
    straight = TAKE_RHO["karras"](table, 4, 1.0)
    assert straight.tolist() == pytest.approx([10, 6.7, 3.4, 0.1, 0], rel=1e-5)
    curved = TAKE_RHO["polyexponential"](table, 3, 2.0)
    assert curved[1] == pytest.approx(0.1 * 100**0.25, rel=1e-6)
    made = comfy_schedule(
        "karras", "EulerDiscreteScheduler", OPTIONS, 4, sigma_min=0.1, sigma_max=10.0, rho=1.0
    )
    np.testing.assert_array_equal(made.sigmas, straight.astype(np.float64))
    with pytest.raises(InputError, match="sigma_min < sigma_max"):
        sigma_table(OPTIONS).between(20.0, None)
    with pytest.raises(InputError, match="rho: simple has none"):
        comfy_schedule("simple", "EulerDiscreteScheduler", OPTIONS, 4, rho=5.0)


def test_a_run_that_ends_above_zero_evaluates_twice_in_its_last_step() -> None:
    for class_name in ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler"):
        options = from_config(class_name, SD1_SCHEDULER)
        to_lowest = comfy_schedule(
            "kl_optimal", class_name, options, 5, convention=Convention(meant_by="a1111")
        )
        to_zero = comfy_schedule("kl_optimal", class_name, options, 5)
        assert len(to_lowest) == 10
        assert len(to_zero) == 9
        assert to_lowest.sigmas[-1] == pytest.approx(0.0291675, rel=1e-5)


def test_tables_are_rounded_where_each_program_rounds() -> None:
    lowest = {
        rounded: sigma_table(OPTIONS, rounded).sigmas[0] for rounded in ("products", "alphas", "sigmas")
    }
    assert lowest == pytest.approx(
        {"products": 0.02916753, "alphas": 0.02916753, "sigmas": 0.02916716}, rel=2e-7
    )
    for rounded in lowest:
        assert sigma_table(ZERO_SNR, rounded).highest == pytest.approx(4518.76, rel=2e-6)
