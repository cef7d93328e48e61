"""Runs of k-diffusion's kind on a stand-in for the network, which tools/make_comfy_golden.py gives to ComfyUI.

Everything is float64, so that what differs is the formula.
"""

from typing import Any

import numpy as np

from latentrt.noise import TorchGenerator
from latentrt.schedule import Evaluation, Schedule
from latentrt.schedule.comfy import evaluated

SHAPE = (2, 1, 2, 2)
# Stable Diffusion's σ, float64 from end to end.
TABLE = np.sqrt(1 / np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2) - 1)
HIGHEST, LOWEST = float(TABLE[-1]), float(TABLE[0])


def _karras(count: int) -> np.ndarray:
    high, low = HIGHEST ** (1 / 7), LOWEST ** (1 / 7)
    return np.append((high + np.linspace(0, 1, count) * (low - high)) ** 7, 0.0)


def _normal(count: int) -> np.ndarray:
    sigmas = np.exp(np.interp(np.linspace(999, 0, count), np.arange(1000), np.log(TABLE)))
    return np.append(sigmas, 0.0)


SIGMAS = {"karras 8": _karras(8), "normal 5": _normal(5), "karras 2": _karras(2), "above 0": _normal(9)[:-2]}

_NOISY: list[dict[str, Any]] = [{}, {"eta": 0.5, "s_noise": 0.9}, {"eta": 0.0}]
_CHURNED: list[dict[str, Any]] = [{}, {"s_churn": 2.0, "s_noise": 0.9}]
# Our name -> ComfyUI's, and the options of each run.
SOLVERS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "euler_cfg_pp": ("euler_cfg_pp", [{}]),
    "euler_ancestral_cfg_pp": ("euler_ancestral_cfg_pp", _NOISY),
    "dpmpp_2m_cfg_pp": ("dpmpp_2m_cfg_pp", [{}]),
    "dpmpp_2s_ancestral_cfg_pp": ("dpmpp_2s_ancestral_cfg_pp", _NOISY),
    "res_multistep": ("res_multistep", [{}]),
    "res_multistep_ancestral": ("res_multistep_ancestral", _NOISY),
    "res_multistep_cfg_pp": ("res_multistep_cfg_pp", [{}]),
    "res_multistep_ancestral_cfg_pp": ("res_multistep_ancestral_cfg_pp", _NOISY),
    "gradient_estimation": ("gradient_estimation", [{}, {"ge_gamma": 1.5}]),
    "gradient_estimation_cfg_pp": ("gradient_estimation_cfg_pp", [{}, {"ge_gamma": 1.5}]),
    "er_sde": ("er_sde", [{}, {"s_noise": 0.9}, {"s_noise": 0.0}, {"max_stage": 1}, {"max_stage": 2}]),
    "heunpp2": ("heunpp2", [{}, {"s_churn": 2.0, "s_noise": 0.9}, {"s_churn": 2.0, "s_tmax": 5.0}]),
    "ipndm": ("ipndm", [{}]),
    "ipndm_v": ("ipndm_v", [{}]),
    "lms": ("lms", [{}]),
    "deis_tab": ("deis", [{}]),
    "seeds_2": ("seeds_2", _NOISY),
    "seeds_3": ("seeds_3", _NOISY),
    "sa_solver_pec": ("sa_solver", [{}]),
    "sa_solver_pece": ("sa_solver_pece", [{}]),
    "lcm_unscaled": ("lcm", [{}]),
    "dpm_fast": ("dpm_fast", _NOISY),
    "dpm_adaptive": ("dpm_adaptive", _NOISY),
    "euler": ("euler", _CHURNED),
    "heun": ("heun", _CHURNED),
    "dpm_2": ("dpm_2", _CHURNED),
    "dpm_2_ancestral": ("dpm_2_ancestral", _NOISY),
    "dpmpp_2s_ancestral": ("dpmpp_2s_ancestral", _NOISY),
    "euler_ancestral": ("euler_ancestral", _NOISY),
    "dpmpp_3m_sde": ("dpmpp_3m_sde", _NOISY),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", _NOISY),
}


def guided(x: Any, sigma: Any, tanh: Any = np.tanh) -> Any:
    """What the network sees with guidance; of arrays or tensors."""
    return 0.3 * tanh(x / (1 + sigma)) + 0.1


def unguided(x: Any, sigma: Any, tanh: Any = np.tanh) -> Any:
    """Without."""
    return 0.2 * tanh(x / (2 + sigma)) - 0.05


class Toy:
    """Both, as a denoiser."""

    def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
        return np.asarray(guided(x, at.sigma))

    def apart(self, x: np.ndarray, at: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        return self(x, at), np.asarray(unguided(x, at.sigma))


class Wide:
    """Noise in float64."""

    def __init__(self, seed: int) -> None:
        self._generator = TorchGenerator(seed)

    def randn(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._generator.randn(shape, np.float64)


def begun(sigmas: np.ndarray) -> np.ndarray:
    """The state that a run begins with."""
    return Wide(0).randn(SHAPE) * sigmas[0]


def schedule(sigmas: np.ndarray, class_name: str = "EulerDiscreteScheduler") -> Schedule:
    """Laid out for a class's solver; the toy does not heed what it is told of the timestep."""
    asked_at, steps = evaluated(sigmas, class_name), len(sigmas) - 1
    count = len(asked_at) - 1
    return Schedule(
        asked_at.copy(),
        np.zeros(count),
        steps,
        asked_at[1:].copy(),
        asked_at[:-1].copy(),
        order=1 if count == steps else 2,
        timestep_of=lambda sigma: 0.0,
        train_sigmas=TABLE,
    )
