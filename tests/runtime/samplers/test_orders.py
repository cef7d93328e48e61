"""The order of the solvers that diffusers lacks, and what they do beside it: on the Gaussian of tests/parity."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from latentrt.errors import InputError
from latentrt.noise import TorchGenerator
from latentrt.samplers import REGISTRY, Step
from latentrt.samplers.heun import heun
from latentrt.samplers.restart import restart
from latentrt.schedule import Evaluation, Schedule
from latentrt.schedule.sigmas import karras_between
from parity import convergence
from parity.convergence import Solver, Stochastic, even, moments, order
from parity.k_toy import SIGMAS, Toy, Wide, begun, schedule

TABLE = np.geomspace(0.01, 20, 1000)
# Of each with even steps in log σ.
ORDERS: list[tuple[str, dict[str, Any], float]] = [
    ("res_multistep", {}, 2),
    ("res_multistep_ancestral", {"eta": 0.0}, 2),
    ("res_multistep_cfg_pp", {}, 2),
    ("gradient_estimation", {}, 1),
    ("gradient_estimation", {"ge_gamma": 1.5}, 2),  # which then is Adams and Bashforth's
    ("euler_cfg_pp", {}, 1),
    ("ddim_cfg_pp", {}, 1),
    ("dpmpp_2m_cfg_pp", {}, 2),
    ("dpmpp_2s_ancestral_cfg_pp", {"eta": 0.0, "steps_unguided": True}, 2),
    ("heunpp2", {}, 1),
    ("ipndm_v", {}, 3),
    ("deis_tab", {}, 3),
    ("seeds_2", {"eta": 0.0}, 2),
    ("seeds_3", {"eta": 0.0}, 3),
    ("sa_solver_pec", {"eta": 0.0}, 4),
    ("sa_solver_pece", {"eta": 0.0}, 4),
    ("dpm_fast", {}, 2),  # of third order but for the last two steps
    ("dpmpp_3m_sde", {"eta": 0.0}, 2),
]


class Same:
    """A denoiser that guidance does not change."""

    def __call__(self, x: np.ndarray, at: Evaluation) -> np.ndarray:
        return convergence.denoise(x, at)

    def apart(self, x: np.ndarray, at: Evaluation) -> tuple[np.ndarray, np.ndarray]:
        return self(x, at), self(x, at)


def told(count: int) -> Schedule:
    """Even steps, and what is known of other sigmas."""
    return dataclasses.replace(even(count), timestep_of=lambda sigma: 0.0, train_sigmas=TABLE)


def asked(key: str) -> Callable[..., Iterator[Step]]:
    return lambda denoise, *given, **options: REGISTRY[key].solver(Same(), *given, **options)


@pytest.mark.parametrize(("key", "options", "expected"), ORDERS)
def test_each_shows_its_order(key: str, options: dict[str, Any], expected: float) -> None:
    measured = order(Solver("", key, asked(key), expected, options, told))
    assert expected - 0.15 < measured < expected + 0.15


@pytest.mark.parametrize(
    "key",
    ["euler_ancestral_cfg_pp", "res_multistep_ancestral", "er_sde", "seeds_2", "seeds_3", "sa_solver_pece"],
)
def test_each_that_adds_noise_draws_from_the_data(key: str) -> None:
    mean, deviation = moments(Stochastic("", key, asked(key), {}, told))
    assert mean == pytest.approx(0, abs=0.02)
    assert deviation == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("count", "times"), [(12, 0), (20, 1), (30, 1), (40, 2)])
def test_restart_goes_up_again(count: int, times: int) -> None:
    """As many Heun steps as there are, of which some repeat the way from 2 to 0.1; below 20 it is Heun's method."""
    sigmas = np.append(np.geomspace(14.6, 0.03, count), 0.0)
    steps = list(restart(Toy(), begun(sigmas), schedule(sigmas), Wide(1)))
    assert len(steps) == count
    begins = np.array([step.sigma for step in steps])
    assert (np.diff(begins) > 0).sum() == times
    if times == 0:
        twice = np.concatenate([sigmas[:1], np.repeat(sigmas[1:-1], 2), sigmas[-1:]])
        x = begun(sigmas)
        paired = Schedule(
            twice, np.zeros(len(twice) - 1), count, twice[1:].copy(), twice[:-1].copy(), order=2
        )
        *_, last = heun(Toy(), x, paired)
        np.testing.assert_allclose(steps[-1].x, last.x, rtol=1e-12)
        return
    length = 9 if times == 1 else count // 4
    spaced = karras_between(0.03, 14.6, count - length * times)
    top, bottom = (spaced[np.abs(spaced - level).argmin()] for level in (2.0, 0.1))
    assert sorted(begins[np.append(False, np.diff(begins) > 0)]) == [top] * times
    again = karras_between(float(bottom), float(top), length + 1)[:-1]
    for start in np.flatnonzero(np.diff(begins) > 0) + 1:
        np.testing.assert_allclose(begins[start : start + length], again[:-1], rtol=1e-7)
    # Fresh noise keeps the marginals: upon data of one point the run ends in it.
    *_, last = restart(lambda x, at: np.full_like(x, 0.7), begun(sigmas), schedule(sigmas), Wide(1))
    np.testing.assert_allclose(last.x, 0.7, rtol=1e-12)


def test_eta_and_s_noise_of_0_are_deterministic() -> None:
    for key, spec in REGISTRY.items():
        if "eta" not in spec.takes or spec.class_name != "EulerDiscreteScheduler":
            continue
        runs = [
            list(spec.solver(Toy(), begun(SIGMAS["karras 8"]), schedule(SIGMAS["karras 8"]), rng, eta=0.0))[
                -1
            ].x
            for rng in (None, TorchGenerator(3))
        ]
        np.testing.assert_array_equal(*runs, err_msg=key)


def test_cfg_pp_says_what_it_needs() -> None:
    made = schedule(SIGMAS["normal 5"])
    with pytest.raises(InputError, match="a method `apart`"):
        next(REGISTRY["euler_cfg_pp"].solver(lambda x, at: x, begun(SIGMAS["normal 5"]), made))


@pytest.mark.parametrize("key", ["dpm_fast", "dpm_adaptive"])
def test_a_single_sigma_is_no_way(key: str) -> None:
    made = schedule(np.array([5.0, 0.0]))
    with pytest.raises(InputError, match="2 or more steps"):
        next(REGISTRY[key].solver(Toy(), begun(made.sigmas), made))
