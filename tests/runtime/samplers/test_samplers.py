"""Names, options, purity, and the order of each solver on a problem with a known answer."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.models.published import SD1_SCHEDULER as SD
from latentrt.noise import TorchGenerator
from latentrt.samplers.clip import threshold
from latentrt.samplers.ddim import ddim
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.pndm import pndm
from latentrt.schedule import Evaluation, Schedule

ANY = {key: value for key, value in SD.items() if key != "_class_name"}  # for networks of every family
SHAPE = (2, 4, 3, 3)


def half(x: np.ndarray, at: Evaluation) -> np.ndarray:
    return x / 2


class Apart:
    """The same, guided or not."""

    def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
        return half(x, at)

    def apart(self, x: np.ndarray, at: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        return self(x, at), half(x, at)


# Those that ask more often than they yield, at sigmas of their own or again at the schedule's.
ASKS_MORE = (
    "dpmpp_2s_ancestral_cfg_pp",
    "heunpp2",
    "seeds_2",
    "seeds_3",
    "sa_solver_pece",
    "dpm_fast",
    "dpm_adaptive",
    "restart",
)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "canonical", "label"),
    [
        ("ddim", "ddim", "DDIM"),
        ("DDIMScheduler", "ddim", "DDIM"),
        ("euler", "euler", "Euler"),
        ("Euler a", "euler_ancestral", "Euler a"),
        ("EULER_ANCESTRAL", "euler_ancestral", "Euler a"),
        ("eulerdiscretescheduler", "euler", "Euler"),
        ("euler karras", "euler_karras", "Euler Karras"),
        ("DPM++ 2M", "dpmpp_2m", "DPM++ 2M"),
        ("dpm++ 2m karras", "dpmpp_2m_karras", "DPM++ 2M Karras"),
        ("dpmpp_2m_karras", "dpmpp_2m_karras", "DPM++ 2M Karras"),
        ("dpmpp_2m karras", "dpmpp_2m_karras", "DPM++ 2M Karras"),
        ("PLMS", "pndm", "PLMS"),
        (None, "pndm", "PLMS"),
    ],
)
def test_every_community_finds_its_name(name: str | None, canonical: str, label: str) -> None:
    sampler = samplers.resolve(name, SD)
    assert (sampler.name, sampler.label) == (canonical, label)
    assert sampler.prediction_type == "epsilon"


def test_names_resolve_to_themselves_and_labels_to_their_rows() -> None:
    assert samplers.names() == list(samplers.REGISTRY)
    for name in samplers.names():
        sampler = samplers.resolve(name, ANY)
        assert sampler.name == name
        assert samplers.resolve(sampler.label, ANY).name == name
        assert samplers.resolve(sampler.label.lower().replace(" ", "_"), ANY).name == name


def test_a_name_fixes_the_sigmas_and_a_class_leaves_them_to_the_config() -> None:
    config = {**SD, "_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True}
    assert samplers.resolve(None, config).name == "dpmpp_2m_karras"
    assert samplers.resolve("DPMSolverMultistepScheduler", config).label == "DPM++ 2M Karras"
    assert samplers.resolve("dpmpp_2m", config).label == "DPM++ 2M"
    assert samplers.resolve("euler", config).schedule_type == "Automatic"
    assert samplers.resolve("EulerDiscreteScheduler", config).schedule_type == "Karras"
    exponential = {**SD, "use_exponential_sigmas": True}
    assert samplers.resolve("DPMSolverMultistepScheduler", exponential).label == "DPM++ 2M Exponential"
    sde = {**config, "algorithm_type": "sde-dpmsolver++"}
    assert samplers.resolve("DPM++ 2M", sde).options["algorithm_type"] == "dpmsolver++"
    assert samplers.resolve(None, sde).name == "dpmpp_2m_sde_karras"


DPM = "DPMSolverMultistepScheduler"


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("DPM++ 2M Karras", {}, ("DPM++ 2M", "Karras", ())),
        ("Euler a", {"use_karras_sigmas": True}, ("Euler a", "Automatic", ())),
        (None, {}, ("PLMS", "Automatic", ())),
        (None, {"_class_name": DPM}, ("DPM++ 2M", "Uniform", ())),
        (None, {"_class_name": DPM, "use_karras_sigmas": True}, ("DPM++ 2M", "Karras", ())),
        (
            None,
            {"_class_name": DPM, "solver_type": "heun"},
            ("DPM++ 2M", "Uniform", (("Sampler class", DPM),)),
        ),
        (DPM, {"solver_order": 1}, ("DPM++ 2M", "Uniform", (("Sampler class", DPM),))),
        (DPM, {"use_lu_lambdas": True}, ("DPM++ 2M", "Lu", ())),
        (
            None,
            {"_class_name": "EulerDiscreteScheduler", "use_exponential_sigmas": True},
            ("Euler", "Exponential", ()),
        ),
        ("EulerDiscreteScheduler", {"use_beta_sigmas": True}, ("Euler", "Beta", ())),
        (
            "UniPCMultistepScheduler",
            {},
            ("UniPC bh2", "Automatic", (("Sampler class", "UniPCMultistepScheduler"),)),
        ),
        ("euler_ancestral karras", {}, ("Euler a", "Karras", ())),
        ("Heun SGM Uniform", {}, ("Heun", "SGM Uniform", ())),
        ("dpmpp_2m_sde exponential", {}, ("DPM++ 2M SDE", "Exponential", ())),
    ],
)
def test_what_a_picture_says_of_its_sampler_finds_it_again(
    name: str | None, config: dict[str, Any], said: tuple[str, str, tuple[tuple[str, str], ...]]
) -> None:
    config = {**SD, **config}
    sampler = samplers.resolve(name, config)
    assert sampler.metadata == said
    label, kind, extra = said
    again = dict(extra).get(
        samplers.CLASS_ENTRY, label if kind in ("Automatic", "Uniform") else f"{label} {kind}"
    )
    assert samplers.resolve(again, config) == sampler


@pytest.mark.parametrize(
    "name", [None, "euler", "DPM++ 2M Karras", "heun sgm_uniform", "UniPCMultistepScheduler"]
)
@pytest.mark.parametrize("schedule", ["karras", "SGM Uniform", "kl_optimal", "beta"])
def test_a_schedule_asked_for_is_found_again(name: str | None, schedule: str) -> None:
    config = {**SD, "_class_name": DPM, "solver_order": 1}
    sampler = samplers.resolve(name, config, schedule)
    assert sampler.schedule_type.lower().replace(" ", "_") == schedule.lower().replace(" ", "_")
    label, kind, extra = sampler.metadata
    entries = dict(extra)
    stored = entries.get(samplers.SCHEDULE_ENTRY)
    named = label if stored is not None else f"{label} {kind}"
    again = samplers.resolve(entries.get(samplers.CLASS_ENTRY, named), config, stored)
    assert (again.key, again.sigma_schedule) == (sampler.key, sampler.sigma_schedule)
    mine, theirs = again.schedule(8), sampler.schedule(8)
    np.testing.assert_array_equal(mine.sigmas, theirs.sigmas)
    np.testing.assert_array_equal(mine.timesteps, theirs.timesteps)
    assert again.options == sampler.options


def test_a_schedule_behind_a_name() -> None:
    flagged = samplers.resolve("dpmpp_2m exponential", SD)
    assert (flagged.sigma_schedule, flagged.options["use_exponential_sigmas"]) == (None, True)
    assert flagged.name == "dpmpp_2m_exponential"
    comfy = samplers.resolve("Euler a Karras", SD)
    assert (comfy.sigma_schedule, comfy.name) == ("karras", "euler_ancestral_karras")
    assert samplers.resolve("euler", SD, "Automatic") == samplers.resolve("euler", SD)
    assert samplers.resolve("DPM++ 2M SDE Heun Karras", SD).key == "dpmpp_2m_sde_heun"
    for name in ("pndm karras", "tcd simple", "dpmpp_2m nothing"):
        with pytest.raises(InputError, match="no such sampler"):
            samplers.resolve(name, SD)
    with pytest.raises(InputError, match="no such schedule, 'nothing'"):
        samplers.resolve("euler", SD, "nothing")
    with pytest.raises(InputError, match="sigmas of its own"):
        samplers.resolve("pndm", SD, "karras")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match="no such sampler, 'dpm quick'") as caught:
        samplers.resolve("dpm quick", SD)
    for name in samplers.names():
        assert name in str(caught.value)


def test_a_models_own_scheduler_is_never_replaced_in_silence() -> None:
    with pytest.raises(InputError, match=r"RePaintScheduler is not built.*dpmpp_2m"):
        samplers.resolve(None, {**SD, "_class_name": "RePaintScheduler"})
    with pytest.raises(InputError, match="_class_name"):
        samplers.resolve(None, {})


COMFYUI = """euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral lms dpm_fast
    dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp
    dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm
    ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp
    gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc
    uni_pc_bh2"""
WEBUI = """DPM++ 2M,DPM++ SDE,DPM++ 2M SDE,DPM++ 2M SDE Heun,DPM++ 2S a,DPM++ 3M SDE,Euler a,Euler,LMS,Heun,DPM2,DPM2 a,
    DPM fast,DPM adaptive,Restart,DDIM,DDIM CFG++,PLMS,UniPC,LCM"""


def test_every_name_of_both_programs_is_known() -> None:
    comfyui = {name: samplers.key_of(name, "comfyui") for name in COMFYUI.split()}
    assert None not in comfyui.values()
    assert (comfyui["deis"], comfyui["lcm"], comfyui["sa_solver"]) == (
        "deis_tab",
        "lcm_unscaled",
        "sa_solver_pec",
    )
    assert comfyui["dpmpp_2m_sde_gpu"] == "dpmpp_2m_sde"
    webui = {name.strip(): samplers.key_of(name.strip(), "a1111") for name in WEBUI.split(",")}
    assert None not in webui.values()
    assert (webui["LCM"], webui["DDIM CFG++"]) == ("lcm_unscaled", "ddim_cfg_pp")
    assert samplers.key_of("res_multistep", "a1111") is None
    assert set(samplers.AUTOMATIC) <= set(samplers.names())


@pytest.mark.parametrize("name", samplers.names())
def test_what_a_picture_says_of_a_sampler_finds_it_again(name: str) -> None:
    label, _, extra = samplers.resolve(name, ANY).metadata
    asked = dict(extra).get(samplers.CLASS_ENTRY, label)
    assert samplers.resolve(asked, ANY).key == name


# ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", samplers.names())
def test_steps(name: str) -> None:
    sampler = samplers.resolve(name, ANY)
    schedule = sampler.schedule(7)
    x = schedule.initial(TorchGenerator(1).randn(SHAPE))
    kept = x.copy()
    asked: list[Evaluation] = []

    class Asked(Apart):
        def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
            assert x.dtype == np.float32
            assert type(at.sigma) is float
            assert type(at.timestep) is float
            asked.append(at)
            return x / 2

    denoise = Asked()
    run = sampler.run(denoise, x, schedule, TorchGenerator(2))
    assert inspect.isgenerator(run)
    assert asked == []  # nothing happens before the first step is asked for
    first = next(run)
    assert len(asked) == 1 or name in ASKS_MORE
    assert first.index == 0
    run.close()  # cancelled between steps
    asked.clear()
    steps = list(sampler.run(denoise, x, schedule, TorchGenerator(2)))
    np.testing.assert_array_equal(steps[0].x, first.x)  # no state was left over
    np.testing.assert_array_equal(x, kept)  # the caller's array is the caller's
    assert [step.index for step in steps] == list(range(len(schedule)))
    if name not in ASKS_MORE:
        assert asked == [step.at for step in steps] == list(schedule)
    for step in steps:
        assert step.x.shape == step.denoised.shape == SHAPE
        assert step.x.dtype == step.denoised.dtype == np.float32


def test_steps_do_not_share_their_arrays() -> None:
    sampler = samplers.resolve("dpmpp_2m", SD)
    schedule = sampler.schedule(5)
    x = schedule.initial(TorchGenerator(1).randn(SHAPE))
    plain = [step.x.copy() for step in sampler.run(half, x, schedule)]
    held = [step.x for step in sampler.run(half, x, schedule)]
    for one, other in zip(plain, held, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", samplers.names())
def test_a_thousand_steps_stay_finite(name: str) -> None:
    """DPM++ rounds two of 1001 points to one timestep, between which diffusers divides 0 by 0."""
    config = {**ANY, "timestep_spacing": "linspace", "original_inference_steps": 1000}
    sampler = samplers.resolve(name, config)
    schedule = sampler.schedule(1000)
    x = schedule.initial(TorchGenerator(0).randn((1, 1, 2, 2)))
    for step in sampler.run(Apart(), x, schedule, TorchGenerator(1)):
        assert np.isfinite(step.x).all()


@pytest.mark.parametrize("eta", [float("nan"), -0.1, 1.1, float("inf")])
def test_refuses_an_eta_before_the_first_step(eta: float) -> None:
    sampler = samplers.resolve("ddim", SD)
    schedule = sampler.schedule(5)
    with pytest.raises(InputError, match="eta"):
        sampler.run(half, np.zeros(SHAPE, np.float32), schedule, TorchGenerator(0), eta=eta)


def test_eta_is_ddims_alone() -> None:
    sampler = samplers.resolve("euler", SD)
    with pytest.raises(InputError, match="only ddim"):
        sampler.run(half, np.zeros(SHAPE, np.float32), sampler.schedule(5), None, eta=0.5)


@pytest.mark.parametrize(("name", "eta"), [("euler_ancestral", 1.0), ("ddim", 0.5)])
def test_a_stochastic_sampler_wants_a_source(name: str, eta: float) -> None:
    sampler = samplers.resolve(name, ANY)
    run = sampler.run(half, np.ones(SHAPE, np.float32), sampler.schedule(5), None, eta=eta)
    with pytest.raises(InputError, match="noise source"):
        next(run)


def test_zero_terminal_snr_starts_from_what_the_network_says() -> None:
    """At infinite σ the state holds no picture: the next is √ᾱ'·x₀ + √(1 − ᾱ')·noise."""
    config = {
        **SD,
        "rescale_betas_zero_snr": True,
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
    }
    sampler = samplers.resolve("DDIMScheduler", config)
    schedule = sampler.schedule(10)
    noise = TorchGenerator(0).randn(SHAPE)
    seen = []

    def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
        seen.append(x / math.sqrt(1 + at.sigma * at.sigma))
        return np.full_like(x, 0.5)

    step = next(sampler.run(denoise, schedule.initial(noise), schedule))
    np.testing.assert_array_equal(seen[0], noise)
    np.testing.assert_allclose(step.x, 0.5 + schedule.sigmas[1] * noise, rtol=1e-6, atol=1e-6)


def test_clipping() -> None:
    config = {**SD, "clip_sample": True, "clip_sample_range": 0.25}
    sampler = samplers.resolve("ddim", config)
    schedule = sampler.schedule(5)
    steps = list(sampler.run(half, schedule.initial(TorchGenerator(0).randn(SHAPE)), schedule))
    assert np.abs(steps[0].denoised).max() == 0.25


def test_dynamic_thresholding_by_picture() -> None:
    x = np.stack([np.linspace(-4, 4, 9), np.linspace(-0.5, 0.5, 9)]).reshape(2, 1, 3, 3).astype(np.float32)
    out = threshold(x, ratio=1.0, ceiling=10.0)
    np.testing.assert_allclose(out[0], x[0] / 4, rtol=1e-6)
    np.testing.assert_array_equal(out[1], x[1])  # s is never below 1
    np.testing.assert_allclose(threshold(x, ratio=1.0, ceiling=2.0)[0], np.clip(x[0], -2, 2) / 2, rtol=1e-6)


# ── convergence ──────────────────────────────────────────────────────────────────────────────────────────────────────
# Data drawn from N(μ, s²): the denoiser has a closed form, and so has the ODE's solution.

MU, S = 0.7, 0.5


def gaussian(x: np.ndarray, at: Evaluation) -> np.ndarray:
    return (S**2 * x + at.sigma**2 * MU) / (S**2 + at.sigma**2)


def log_even(count: int) -> Schedule:
    sigmas = np.exp(np.linspace(math.log(10.0), math.log(0.05), count + 1))
    return Schedule(sigmas, np.zeros(count), count, sigmas[1:].copy(), sigmas[:-1].copy())


def order_of(solver: Any, counts: tuple[int, ...], **options: Any) -> float:
    x = TorchGenerator(0).randn(SHAPE, np.float64) * 10
    errors = []
    for count in counts:
        schedule = log_even(count)
        *_, last = solver(gaussian, x, schedule, None, **options)
        exact = MU + (x - MU) * math.sqrt((S**2 + 0.05**2) / (S**2 + 10.0**2))
        errors.append(np.abs(last.x - exact).max())
    return float(-np.polyfit(np.log(counts), np.log(errors), 1)[0])


COUNTS = (40, 80, 160, 320)


def test_order_of_convergence() -> None:
    assert order_of(euler, COUNTS) == pytest.approx(1, abs=0.1)
    assert order_of(ddim, COUNTS) == pytest.approx(1, abs=0.1)
    assert order_of(dpm_multistep, COUNTS, solver_order=1) == pytest.approx(1, abs=0.1)
    for kind in ("midpoint", "heun"):
        orders = order_of(dpm_multistep, COUNTS, solver_type=kind, lower_order_final=False)
        assert orders == pytest.approx(2, abs=0.15)


def test_ddim_euler_and_first_order_dpm_are_one_solver() -> None:
    x = TorchGenerator(0).randn(SHAPE, np.float64) * 10
    runs: list[Iterator[samplers.Step]] = [
        ddim(gaussian, x, log_even(9)),
        euler(gaussian, x, log_even(9)),
        dpm_multistep(gaussian, x, log_even(9), solver_order=1),
    ]
    for a, b, c in zip(*runs, strict=True):
        np.testing.assert_allclose(a.x, b.x, rtol=1e-13)
        np.testing.assert_allclose(a.x, c.x, rtol=1e-13)


def test_plms_beats_euler() -> None:
    """Its order on paper is 4; the doubled first step keeps it near 2 on a run."""
    x = TorchGenerator(0).randn(SHAPE, np.float64) * 10
    exact = MU + (x - MU) * math.sqrt((S**2 + 0.05**2) / (S**2 + 10.0**2))
    errors = []
    for count in COUNTS:
        sigmas = np.exp(np.linspace(math.log(10.0), math.log(0.05), count + 1))
        doubled = np.concatenate([sigmas[:2], sigmas[1:]])
        # The second step starts at the first's.
        stops, starts = (
            doubled[1:].copy(),
            np.append(sigmas[:1], sigmas[:-1]),
        )
        schedule = Schedule(doubled, np.zeros(count + 1), count, stops, starts)
        *_, last = pndm(gaussian, x, schedule)
        errors.append(np.abs(last.x - exact).max())
    order = -np.polyfit(np.log(COUNTS), np.log(errors), 1)[0]
    assert order > 1.8


def test_ancestral_sampling_gives_the_datas_own_distribution() -> None:
    """10,000 samples after 200 steps: mean and deviation of N(μ, s²)."""
    sigmas = np.append(np.exp(np.linspace(math.log(20.0), math.log(0.01), 200)), 0.0)
    schedule = Schedule(sigmas, np.zeros(200), 200, sigmas[1:].copy(), sigmas[:-1].copy())
    rng = TorchGenerator(0)
    x = rng.randn((100, 1, 10, 10), np.float64) * 20
    *_, last = euler_ancestral(gaussian, x, schedule, rng)
    *_, same = ddim(gaussian, x, schedule, rng, eta=1.0)
    for out in (last.x, same.x):
        assert out.mean() == pytest.approx(MU, abs=0.02)
        assert out.std() == pytest.approx(S, abs=0.03)
