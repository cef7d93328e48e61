"""Eta 0 of every sampler that adds noise: the deterministic solver that it is made of, to rounding."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from latentrt.noise import TorchGenerator
from latentrt.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpm_sde import dpm_sde
from latentrt.samplers.dpm_singlestep import dpm_singlestep
from latentrt.samplers.dpmpp_2s_ancestral import dpmpp_2s_ancestral
from latentrt.samplers.dpmpp_3m_sde import dpmpp_3m_sde
from latentrt.samplers.euler import euler
from latentrt.samplers.euler_ancestral import euler_ancestral
from latentrt.samplers.sa_solver import sa_solver
from latentrt.samplers.step import ancestral_step
from latentrt.schedule import Schedule
from parity.convergence import denoise, even, middles

Run = Callable[..., Any]
SDE = {"algorithm_type": "sde-dpmsolver++"}
PAIRS: list[tuple[Run, Run, Callable[[int], Schedule]]] = [
    (euler_ancestral, euler, even),
    (dpm_2_ancestral, dpm_2, middles),
    (partial(dpm_multistep, **SDE), dpm_multistep, even),
    (partial(dpm_multistep, solver_type="heun", **SDE), partial(dpm_multistep, solver_type="heun"), even),
    (partial(dpm_singlestep, **SDE), dpm_singlestep, even),
    (sa_solver, partial(sa_solver, tau_func=lambda timestep: 0.0), even),
    # From a middle of log σ with the x₀ seen there: one solver, in two hands.
    (dpmpp_2s_ancestral, dpm_sde, middles),
]


def ended(solver: Run, schedule: Schedule, seed: int, **options: Any) -> np.ndarray:
    x = TorchGenerator(0).randn((2, 4, 3, 3), np.float64) * schedule.sigmas[0]
    *_, last = solver(denoise, x, schedule, TorchGenerator(seed), **options)
    return np.asarray(last.x)


@pytest.mark.parametrize(("noisy", "plain", "layout"), PAIRS)
def test_eta_0_is_the_deterministic_solver(noisy: Run, plain: Run, layout: Callable[[int], Schedule]) -> None:
    schedule = layout(10)
    without = {"eta": 0.0} if plain is dpm_sde else {}
    np.testing.assert_allclose(
        ended(noisy, schedule, 1, eta=0.0), ended(plain, schedule, 2, **without), rtol=1e-12, atol=1e-13
    )
    assert np.abs(ended(noisy, schedule, 1) - ended(noisy, schedule, 2)).max() > 0.1


def test_3m_sde_of_eta_0_shows_an_order_above_two() -> None:
    """No other solver is that one, but it is a solver of the ODE: against a run of very many steps."""
    exact = ended(dpmpp_3m_sde, even(6400), 0, eta=0.0)
    errors = [np.abs(ended(dpmpp_3m_sde, even(count), 1, eta=0.0) - exact).max() for count in (100, 200, 400)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.9)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("sigma", "sigma_next"), [(14.6, 10.0), (4518.0, 0.03), (1.0, 1.0), (0.03, 0.0)])
def test_an_ancestral_step_keeps_the_variance(eta: float, sigma: float, sigma_next: float) -> None:
    down, up = ancestral_step(sigma, sigma_next, eta)
    assert math.hypot(down, up) == pytest.approx(sigma_next, rel=1e-14)
    assert up == pytest.approx(eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2), rel=1e-12)
    if eta == 1:
        assert down == pytest.approx(sigma_next**2 / sigma, rel=1e-14)
