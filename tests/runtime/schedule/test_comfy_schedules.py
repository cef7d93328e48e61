"""ComfyUI's sigma schedules against its formulas, written out here step by step, and the solvers upon them."""

import math
from typing import Any

import numpy as np
import pytest

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.models.published import SD1_SCHEDULER as SD
from latentrt.noise import TorchGenerator
from latentrt.schedule import Evaluation
from latentrt.schedule.comfy import EVALUATES
from latentrt.schedule.sigmas import FORMULAS

OTHERS = (
    "uniform",
    "polyexponential",
    "beta57",
    "align_your_steps",
    "align_your_steps_sdxl",
    "align_your_steps_32",
    "align_your_steps_32_sdxl",
)  # see test_sigmas
COUNTS = (1, 2, 3, 5, 10, 20, 25, 30, 50)
BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
TABLE = np.sqrt(1 / np.cumprod(1 - BETAS) - 1)


def log_linear(t: float) -> float:
    low, share = math.floor(t), t - math.floor(t)
    high = math.ceil(t)
    return math.exp((1 - share) * math.log(TABLE[low]) + share * math.log(TABLE[high]))


def beta_quantile(p: float) -> float:
    """Of Beta(0.6, 0.6), by counting: the density is integrated in u = x^0.6, in which it is smooth at 0."""
    if p in (0.5, 1.0):
        return p  # by symmetry
    if p > 0.5:
        return 1 - beta_quantile(1 - p)
    u = np.linspace(0, 0.5**0.6, 200_001)
    density = (1 - u ** (1 / 0.6)) ** -0.4
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.interp(p, 0.5 * below / below[-1], u)) ** (1 / 0.6)


def expected(name: str, count: int) -> list[float]:
    low, high = TABLE[0], TABLE[-1]
    even = [i / (count - 1) if count > 1 else 0.0 for i in range(count)]
    if name == "simple":
        return [TABLE[-(1 + int(i * (1000 / count)))] for i in range(count)] + [0]
    if name == "ddim_uniform":
        rising, t = [0.0], 1
        while t < 1000:
            rising.append(TABLE[t])
            t += 1000 // count
        return rising[::-1]
    if name == "normal":
        return [log_linear(999 * (1 - share)) for share in even] + [0]
    if name == "sgm_uniform":
        return [log_linear(999 * (1 - i / count)) for i in range(count)] + [0]
    if name == "karras":
        return [(high ** (1 / 7) + share * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for share in even] + [0]
    if name == "exponential":
        return [high ** (1 - share) * low**share for share in even] + [0]
    if name == "beta":
        timesteps = [round(999 * beta_quantile(1 - i / count)) for i in range(count)]
        return [TABLE[t] for i, t in enumerate(timesteps) if i == 0 or t != timesteps[i - 1]] + [0]
    if name == "kl_optimal":
        return [math.tan(share * math.atan(low) + (1 - share) * math.atan(high)) for share in even] + [0]
    assert name == "linear_quadratic"
    if count == 1:
        return [high, 0]
    linear, way = count // 2, []
    for i in range(count):
        if i < linear:
            way.append(i * 0.025 / linear)
        else:
            difference, rest = linear - 0.025 * count, count - linear
            a = difference / (linear * rest**2)
            way.append(a * i**2 + (0.025 / linear - 2 * difference / rest**2) * i + a * linear**2)
    return [high * (1 - w) for w in way] + [0]


@pytest.mark.parametrize("name", [name for name in FORMULAS["comfyui"] if name not in OTHERS])
def test_sigmas_are_those_of_the_formula(name: str) -> None:
    for count in COUNTS:
        sampler = samplers.resolve("euler", SD, name)
        schedule = sampler.schedule(count)
        # The table here is float64 from end to end; ComfyUI's, and ours, has float32 alphas: 3e-5 at the lowest sigma.
        np.testing.assert_allclose(schedule.sigmas, expected(name, count), rtol=5e-5)
        nearest = np.abs(np.log(schedule.sigmas[:-1, None]) - np.log(TABLE)).argmin(axis=1)
        assert np.abs(schedule.timesteps - nearest).max() <= 1  # a tie, where the tables' roundings decide
        assert schedule.num_inference_steps == len(schedule.sigmas) - 1


def test_the_numbers_that_people_know() -> None:
    """Stable Diffusion's highest and lowest sigma, between which Karras' schedule lies in ComfyUI."""
    sigmas = samplers.resolve("dpmpp_2m", SD, "karras").schedule(10).sigmas
    assert sigmas[0] == pytest.approx(14.6146, abs=1e-4)
    assert sigmas[9] == pytest.approx(0.0292, abs=1e-4)
    # ComfyUI's, too, has one more.
    assert len(samplers.resolve("euler", SD, "ddim_uniform").schedule(30)) == 31


@pytest.mark.parametrize(
    "row", [row for row in samplers.names() if samplers.REGISTRY[row].class_name in EVALUATES]
)
@pytest.mark.parametrize("name", ["karras", "sgm_uniform", "simple"])
def test_every_solver_of_its_kind_runs_on_them(row: str, name: str) -> None:
    """Upon data of one point, of which every step's x₀ is that point, the run ends in it, whatever the sigmas."""
    sampler = samplers.resolve(row, SD, name)
    schedule = sampler.schedule(8)
    assert np.all(np.diff(schedule.sigmas) <= 0)
    assert schedule.num_inference_steps == 8
    x = schedule.initial(TorchGenerator(0).randn((1, 4, 4, 4)))
    asked = []

    class Point:
        def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
            asked.append(at.sigma)
            return np.full_like(x, 0.7)

        def apart(self, x: np.ndarray, at: Evaluation) -> tuple[np.ndarray, np.ndarray]:
            return self(x, at), np.full_like(x, 0.7)

    *_, last = steps = list(sampler.run(Point(), x, schedule, TorchGenerator(1)))
    assert len(steps) == len(schedule)
    if row in ("dpm_fast", "dpm_adaptive"):  # which end where there is still noise
        assert np.abs(last.x - 0.7).max() < 6 * schedule.sigmas[-2]
        return
    np.testing.assert_allclose(schedule.final(last.x), 0.7, rtol=2e-5)
    own = sorted(set(asked) - set(schedule.sigmas.tolist()))
    assert bool(own) == (row in ("seeds_2", "seeds_3", "dpmpp_2s_ancestral_cfg_pp"))
    assert set(asked) >= set(schedule.sigmas[:-1].tolist())


def test_noise_is_scaled_as_comfyui_scales_it() -> None:
    noise = np.ones((1, 4, 2, 2), np.float32)
    whole = samplers.resolve("euler", SD, "karras").schedule(10)
    np.testing.assert_allclose(whole.initial(noise), math.hypot(1, whole.sigmas[0]), rtol=1e-6)
    lower = samplers.resolve("euler", SD, "ddim_uniform").schedule(10)  # begins at 901, below the highest
    np.testing.assert_allclose(lower.initial(noise), lower.sigmas[0], rtol=1e-6)


def test_penultimate_sigma_is_left_out() -> None:
    longer = samplers.resolve("euler", SD, "karras").schedule(9).sigmas
    np.testing.assert_array_equal(
        samplers.resolve("uni_pc", SD, "karras").schedule(8).sigmas, np.delete(longer, -2)
    )
    halved = samplers.resolve("dpm_2", SD, "karras").schedule(8).sigmas
    np.testing.assert_array_equal(halved[:-1:2], longer[:-2])
    np.testing.assert_allclose(halved[1:-1:2], np.sqrt(longer[:-3] * longer[1:-2]), rtol=1e-14)


def denoised_at(x: np.ndarray, sigma: float) -> np.ndarray:
    return 0.3 * np.tanh(x / (1 + sigma)) + 0.1


def test_dpmpp_2s_ancestral_is_k_diffusions() -> None:
    """Against its update in t = −log σ, with exponential integrators over half and whole steps."""
    sampler = samplers.resolve("DPM++ 2S a", SD, "karras")  # whose middles are exact
    schedule = sampler.schedule(6)
    x = schedule.initial(TorchGenerator(0).randn((2, 4, 3, 3), np.float64))

    *_, last = sampler.run(lambda x, at: denoised_at(x, at.sigma), x, schedule, TorchGenerator(1))
    rng, sigmas = TorchGenerator(1), np.append(schedule.sigmas[:-1:2], 0.0)
    for sigma, sigma_next in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        up = min(sigma_next, math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2))
        down = math.sqrt(sigma_next**2 - up**2)
        denoised = denoised_at(x, sigma)
        if down == 0:
            x = x + (x - denoised) / sigma * (down - sigma)
            continue
        t, t_next = -math.log(sigma), -math.log(down)
        h = t_next - t
        middle = math.exp(-(t + h / 2))
        half = (middle / sigma) * x - math.expm1(-h / 2) * denoised
        x = (down / sigma) * x - math.expm1(-h) * denoised_at(half, middle)
        x = x + up * rng.randn(x.shape).astype(np.float64)
    np.testing.assert_allclose(last.x, x, rtol=1e-11, atol=1e-12)


def test_dpmpp_3m_sde_is_k_diffusions() -> None:
    """Against its update as it is written there: η = 1, φ₂ and φ₃ of 2h, divided differences D₁ and D₂."""
    sampler = samplers.resolve("dpmpp_3m_sde exponential", SD)
    schedule = sampler.schedule(7)
    x = schedule.initial(TorchGenerator(0).randn((2, 4, 3, 3), np.float64))

    *_, last = sampler.run(lambda x, at: denoised_at(x, at.sigma), x, schedule, TorchGenerator(1))
    rng, sigmas = TorchGenerator(1), schedule.sigmas.tolist()
    history: list[np.ndarray] = []
    h_s: list[float] = []
    for i in range(7):
        denoised = denoised_at(x, sigmas[i])
        if sigmas[i + 1] == 0:
            x = denoised
            break
        h = -math.log(sigmas[i + 1]) + math.log(sigmas[i])
        h_eta = 2 * h
        x = math.exp(-h_eta) * x + (1 - math.exp(-h_eta)) * denoised
        phi_2 = (math.exp(-h_eta) - 1) / h_eta + 1
        if len(history) >= 2:
            r0, r1 = h_s[-1] / h, h_s[-2] / h
            d1_0 = (denoised - history[-1]) / r0
            d1_1 = (history[-1] - history[-2]) / r1
            d1 = d1_0 + (d1_0 - d1_1) * r0 / (r0 + r1)
            d2 = (d1_0 - d1_1) / (r0 + r1)
            x = x + phi_2 * d1 - (phi_2 / h_eta - 0.5) * d2
        elif history:
            x = x + phi_2 * (denoised - history[-1]) / (h_s[-1] / h)
        noise = rng.randn(x.shape).astype(np.float64)
        x = x + noise * sigmas[i + 1] * math.sqrt(1 - math.exp(-2 * h))
        history.append(denoised)
        h_s.append(h)
    np.testing.assert_allclose(last.x, x, rtol=1e-11, atol=1e-12)


def network(x: np.ndarray, timestep: float) -> np.ndarray:
    return 0.4 * x + 0.2 * (timestep / 1000 - 0.5)


def test_run_takes_a_schedule() -> None:
    config: dict[str, Any] = {**SD, "_class_name": "EulerDiscreteScheduler"}
    noise = TorchGenerator(0).randn((1, 4, 4, 4))
    plain = samplers.run(config, network, noise, 10)
    assert np.abs(samplers.run(config, network, noise, 10, schedule="sgm_uniform") - plain).max() > 1e-3
    with pytest.raises(InputError, match="no such schedule"):
        samplers.run(config, network, noise, 10, schedule="nothing")
    with pytest.raises(InputError, match="sigmas: expected None with the schedule"):
        samplers.run(config, network, noise, None, sigmas=[3.0, 0.0], schedule="karras")
