"""DPM-Solver, UniPC, DEIS, SA-Solver, iPNDM: their integrals, and what they must do whatever the network."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.noise import TorchGenerator
from latentrt.samplers.deis import deis
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpm_sde import dpm_sde
from latentrt.samplers.dpm_singlestep import block_orders, dpm_singlestep
from latentrt.samplers.exponential import lagrange_weights, moments, phi
from latentrt.samplers.ipndm import ipndm
from latentrt.samplers.lcm import lcm
from latentrt.samplers.sa_solver import sa_solver
from latentrt.samplers.tcd import tcd
from latentrt.samplers.unipc import unipc
from latentrt.schedule import Evaluation, Schedule

SHAPE = (2, 4, 3, 3)


def along(*sigmas: float) -> Schedule:
    values = np.array(sigmas)
    count = len(values) - 1
    return Schedule(values, np.linspace(999, 0, count), count, values[1:].copy(), values[:-1].copy())


def noise() -> np.ndarray:
    return TorchGenerator(0).randn(SHAPE, np.float64)


# ── the integrals ────────────────────────────────────────────────────────────────────────────────────────────────────


def exact_phi(k: int, z: float) -> float:
    with localcontext() as context:
        context.prec = 80
        value = Decimal(z).exp()
        for i in range(k):
            value = (value - 1 / Decimal(math.factorial(i))) / Decimal(z)
        return float(value)


@given(k=st.integers(0, 5), z=st.floats(-40, 40).filter(lambda z: abs(z) > 1e-12))
def test_phi(k: int, z: float) -> None:
    assert phi(k, z) == pytest.approx(exact_phi(k, z), rel=1e-12)


def test_phi_at_its_ends() -> None:
    for k in range(5):
        assert phi(k, 0.0) == 1 / math.factorial(k)
        assert phi(k, -math.inf) == 0


@given(
    nodes=st.lists(st.floats(-4, 4), min_size=1, max_size=4).filter(
        lambda v: all(abs(a - b) > 0.05 for i, a in enumerate(v) for b in v[:i])
    ),
    h=st.floats(0.01, 3),
    rate=st.sampled_from([-2.0, -1.0, 1.0]),
)
def test_weights_integrate_polynomials(nodes: list[float], h: float, rate: float) -> None:
    integrals = moments(len(nodes), h, rate)
    v = (np.arange(20000) + 0.5) * (h / 20000)  # the midpoint rule, good to h²·1e-9
    weights = lagrange_weights(nodes, integrals)
    for j in range(len(nodes)):
        assert integrals[j] == pytest.approx(float(np.mean(np.exp(rate * (h - v)) * v**j)) * h, rel=1e-6)
        size = float(np.abs(weights * np.array(nodes) ** j).sum())
        assert float(np.sum(weights * np.array(nodes) ** j)) == pytest.approx(
            integrals[j], abs=1e-10 * size + 1e-13
        )


# ── what every solver does ───────────────────────────────────────────────────────────────────────────────────────────

Solver = Callable[..., Any]
DATA: list[tuple[Solver, dict[str, Any]]] = [
    *(
        (dpm_multistep, {"solver_order": k, "solver_type": t})
        for k in (1, 2, 3)
        for t in ("midpoint", "heun")
    ),
    *(
        (dpm_singlestep, {"solver_order": k, "solver_type": t})
        for k in (1, 2, 3)
        for t in ("midpoint", "heun")
    ),
    *((unipc, {"solver_order": k, "solver_type": t}) for k in (1, 2, 3, 4) for t in ("bh1", "bh2")),
    *(
        (sa_solver, {"predictor_order": k, "corrector_order": k, "tau_func": lambda t: 0.0})
        for k in (1, 2, 3, 4)
    ),
]
NOISE: list[tuple[Solver, dict[str, Any]]] = [
    *((dpm_multistep, {"solver_order": k, "algorithm_type": "dpmsolver"}) for k in (1, 2, 3)),
    *((dpm_singlestep, {"solver_order": k, "algorithm_type": "dpmsolver"}) for k in (1, 2, 3)),
    *((unipc, {"solver_order": k, "predict_x0": False}) for k in (1, 2, 3, 4)),
    *((deis, {"solver_order": k}) for k in (1, 2, 3)),
    (ipndm, {}),
    *(
        (sa_solver, {"predictor_order": k, "algorithm_type": "noise_prediction", "tau_func": lambda t: 0.0})
        for k in (1, 2, 3)
    ),
]
EVEN = (10.0, 6.0, 3.5, 2.0, 1.1, 0.6, 0.3, 0.1)


@pytest.mark.parametrize(("solver", "options"), DATA)
def test_where_x0_is_constant_the_path_is_straight(solver: Solver, options: dict[str, Any]) -> None:
    """x₀ constant: x' = x₀ + (σ'/σ)·(x − x₀), whatever the order."""
    x, clean, schedule = 10 * noise(), np.full(SHAPE, 0.3), along(*EVEN)
    for step in solver(lambda x, at: clean, x, schedule, TorchGenerator(0), **options):
        expected = clean + (schedule.sigmas[step.index + 1] / 10) * (x - clean)
        np.testing.assert_allclose(step.x, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("solver", "options"), NOISE)
def test_where_epsilon_is_constant_the_path_is_straight(solver: Solver, options: dict[str, Any]) -> None:
    x, schedule = 10 * noise(), along(*EVEN)
    epsilon = TorchGenerator(1).randn(SHAPE, np.float64)
    for step in solver(lambda x, at: x - at.sigma * epsilon, x, schedule, TorchGenerator(0), **options):
        expected = x + (schedule.sigmas[step.index + 1] - 10) * epsilon
        np.testing.assert_allclose(step.x, expected, rtol=1e-12, atol=1e-11)


def half(x: np.ndarray, at: Evaluation) -> np.ndarray:
    return x / (1 + at.sigma)


@pytest.mark.parametrize(("solver", "options"), DATA + NOISE)
def test_equal_neighbours_are_no_step(solver: Solver, options: dict[str, Any]) -> None:
    """diffusers divides 0 by 0 there. The state stays as it is, and what follows is finite."""
    schedule = along(10, 5, 2.5, 2.5, 2.5, 1, 1, 0.5, 0.5)
    steps = list(solver(half, 10 * noise(), schedule, TorchGenerator(0), **options))
    assert all(np.isfinite(step.x).all() for step in steps)
    np.testing.assert_allclose(steps[7].x, steps[6].x, atol=0.1)  # a corrector may still move it
    if solver in (dpm_multistep, deis):
        np.testing.assert_array_equal(steps[7].x, steps[6].x)


@pytest.mark.parametrize(("solver", "options"), [row for row in DATA if row[0] is not sa_solver])
@pytest.mark.parametrize("lower", [True, False])
def test_the_last_step_to_zero_takes_what_is_denoised(
    solver: Solver, options: dict[str, Any], lower: bool
) -> None:
    """Whatever the order: at σ = 0 slopes have infinite weight (diffusers' bh1, for one, gives NaN)."""
    *_, last = solver(half, 10 * noise(), along(*EVEN, 0.0), None, **options, lower_order_final=lower)
    np.testing.assert_allclose(last.x, last.denoised, rtol=1e-12, atol=1e-13)


# ── noise ────────────────────────────────────────────────────────────────────────────────────────────────────────────

STOCHASTIC: list[tuple[Solver, dict[str, Any]]] = [
    *((dpm_multistep, {"solver_order": k, "algorithm_type": "sde-dpmsolver++"}) for k in (1, 2)),
    *((dpm_multistep, {"solver_order": k, "algorithm_type": "sde-dpmsolver"}) for k in (1, 2, 3)),
    *((dpm_singlestep, {"solver_order": k, "algorithm_type": "sde-dpmsolver++"}) for k in (1, 2)),
    *(
        (sa_solver, {"algorithm_type": a, "tau_func": lambda t: 1.0})
        for a in ("data_prediction", "noise_prediction")
    ),
    (sa_solver, {"tau_func": lambda t: 0.5}),
]


@pytest.mark.parametrize(("solver", "options"), STOCHASTIC)
def test_noise_keeps_the_marginals(solver: Solver, options: dict[str, Any]) -> None:
    """Data of N(μ, s²): wherever the run ends, the state is of N(μ, s² + σ²), if the noise has the right size."""
    mu, s = 0.7, 0.5

    def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
        return (s**2 * x + at.sigma**2 * mu) / (s**2 + at.sigma**2)

    sigmas = np.exp(np.linspace(math.log(20.0), math.log(0.2), 241))
    x = mu + math.hypot(s, 20) * TorchGenerator(0).randn((1, 1, 200, 250), np.float64)
    *_, last = solver(denoise, x, along(*sigmas), TorchGenerator(1), **options)
    assert float(last.x.mean()) == pytest.approx(mu, abs=0.01)
    assert float(last.x.std()) == pytest.approx(math.hypot(s, 0.2), rel=0.02)


def test_dpm_sde_keeps_the_marginals_along_its_own_path() -> None:
    mu, s = 0.7, 0.5

    def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
        return (s**2 * x + at.sigma**2 * mu) / (s**2 + at.sigma**2)

    outer = np.exp(np.linspace(math.log(10.0), math.log(0.2), 31))
    sigmas = np.zeros(2 * len(outer) - 1)
    sigmas[::2], sigmas[1::2] = outer, np.sqrt(outer[1:] * outer[:-1])
    x = mu + math.hypot(s, 10) * TorchGenerator(0).randn((1, 1, 100, 200), np.float64)
    *_, last = dpm_sde(denoise, x, along(*sigmas), TorchGenerator(1))
    assert float(last.x.mean()) == pytest.approx(mu, abs=0.02)
    assert float(last.x.std()) == pytest.approx(math.hypot(s, 0.2), rel=0.03)


def test_lcm_at_timestep_0_gives_back_its_input_and_ends_without_noise() -> None:
    x = noise()
    schedule = Schedule(np.array([0.5, 0.0]), np.array([0.0]), 1, np.zeros(1), np.array([0.5]))
    (step,) = lcm(lambda x, at: np.zeros_like(x), x, schedule, None)
    np.testing.assert_allclose(step.x, x / math.sqrt(1.25), rtol=1e-15)  # c_skip 1, of the sample


def test_tcd_asks_for_the_table_it_reads() -> None:
    with pytest.raises(InputError, match="train_sigmas"):
        next(tcd(half, noise(), along(10, 1), TorchGenerator(0)))


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("count", "order", "lower", "to_zero", "orders"),
    [
        (6, 3, True, False, [1, 2, 3, 1, 2, 1]),
        (7, 3, True, False, [1, 2, 3, 1, 2, 3, 1]),
        (8, 3, True, False, [1, 2, 3, 1, 2, 3, 1, 2]),
        (8, 3, True, True, [1, 2, 3, 1, 2, 3, 1, 1]),
        (6, 3, False, False, [1, 2, 3, 1, 2, 3]),
        (6, 3, False, True, [1, 2, 3, 1, 2, 1]),
        (7, 3, False, False, [1, 2, 3, 1, 2, 3, 1]),
        (4, 2, True, False, [1, 2, 1, 1]),
        (4, 2, False, False, [1, 2, 1, 2]),
        (5, 2, False, True, [1, 2, 1, 2, 1]),
        (1, 3, True, True, [1]),
        (2, 3, False, False, [1, 2]),
        (3, 1, False, True, [1, 1, 1]),
    ],
)
def test_orders_of_a_singlestep_run(
    count: int, order: int, lower: bool, to_zero: bool, orders: list[int]
) -> None:
    assert block_orders(count, order, lower, to_zero=to_zero) == orders


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
DPM, SINGLE, UNIPC = "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (DPM, {"algorithm_type": "dpmsolver"}, "final_sigmas_type"),
        (SINGLE, {"algorithm_type": "dpmsolver"}, "final_sigmas_type"),
        (SINGLE, {"algorithm_type": "sde-dpmsolver"}, "algorithm_type"),
        (DPM, {**FLOW, "use_karras_sigmas": True}, "use_flow_sigmas"),
        (UNIPC, {**FLOW, "use_beta_sigmas": True}, "use_flow_sigmas"),
        (DPM, {"prediction_type": "flow_prediction"}, "flow_prediction"),
        (DPM, {**FLOW, "flow_shift": 0.0}, "flow_shift"),
        (UNIPC, {**FLOW, "prediction_type": "v_prediction", "predict_x0": False}, "v_prediction"),
        (UNIPC, {"solver_p": "DDIMScheduler"}, "solver_p"),
        (UNIPC, {"shift_terminal": 0.1}, "shift_terminal"),
        (UNIPC, {**FLOW, "shift_terminal": 1.5}, "shift_terminal"),
        (UNIPC, {"use_dynamic_shifting": True}, "mu"),
        (UNIPC, {"disable_corrector": [0.5]}, "disable_corrector"),
        (UNIPC, {"use_karras_sigmas": True, "sigma_min": -1.0}, "sigma_min"),
        (DPM, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": 50.0}, "lambda_min_clipped"),
        ("SASolverScheduler", {"tau_func": 0.5}, "tau_func"),
        ("EDMDPMSolverMultistepScheduler", {"sigma_min": 90.0}, "sigma_min"),
        ("EDMDPMSolverMultistepScheduler", {"prediction_type": "sample"}, "prediction_type"),
        ("IPNDMScheduler", {"trained_betas": [0.9, 0.5, 0.0]}, "trained_betas"),
        ("LCMScheduler", {"original_inference_steps": 2000}, "original_inference_steps"),
        ("LCMScheduler", {"original_inference_steps": 3}, "original_inference_steps"),
        ("DPMSolverSDEScheduler", {"prediction_type": "sample"}, "prediction_type"),
    ],
)
def test_refuses_what_cannot_be_computed(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        samplers.resolve(name, config).schedule(5)


@pytest.mark.parametrize(
    ("name", "config", "given"),
    [
        (DPM, {"use_karras_sigmas": True}, {"timesteps": [900, 500, 100]}),
        (DPM, FLOW, {"timesteps": [900, 500, 100]}),
        (DPM, {}, {"timesteps": [100, 500, 900]}),
        (DPM, {}, {"timesteps": [1200, 500]}),
        ("LCMScheduler", {}, {"timesteps": [900, 900]}),
        (UNIPC, {}, {"sigmas": [0.9, 0.5]}),
        (DPM, FLOW, {"mu": 0.5}),
    ],
)
def test_refuses_custom_steps(name: str, config: dict[str, Any], given: dict[str, Any]) -> None:
    (key,) = given
    with pytest.raises(InputError, match=key):
        samplers.resolve(name, config).schedule(5 if key == "mu" else None, **given)


BOUNDED = (DPM, SINGLE, UNIPC, "DEISMultistepScheduler", "SASolverScheduler", "HeunDiscreteScheduler")


@pytest.mark.parametrize(
    "name", [*BOUNDED, "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "DPMSolverSDEScheduler"]
)
def test_bounds_of_another_class_ride_along(name: str) -> None:
    """diffusers keeps the keys of another class's config, and most ramps look for these two."""
    config = {"_class_name": "EulerDiscreteScheduler", "sigma_min": 0.1, "sigma_max": 5.0}
    for ramp in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
        schedule = samplers.resolve(name, {**config, ramp: True}).schedule(4)
        sigmas = schedule.sigmas[schedule.sigmas > 0]
        heeds = ramp != "use_karras_sigmas" or name not in ("LMSDiscreteScheduler", "DPMSolverSDEScheduler")
        assert (sigmas[0] == pytest.approx(5, rel=1e-12)) == heeds
        assert (sigmas[-1] == pytest.approx(0.1, rel=1e-12)) == heeds
