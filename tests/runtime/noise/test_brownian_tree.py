"""torchsde's Brownian tree, without torch: its golden values are by torchsde 0.2.6 (tools/make_golden.py)."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.noise import BrownianTree, PhiloxGenerator, TorchGenerator
from latentrt.samplers.dpm_multistep import dpm_multistep
from latentrt.samplers.dpmpp_3m_sde import dpmpp_3m_sde
from latentrt.schedule import Evaluation, Schedule
from parity.case import Drawn

GOLDEN = Path(__file__).parents[1] / "golden" / "brownian.npz"
GENERATORS = {"cpu": TorchGenerator, "nv": PhiloxGenerator}
SHAPE = (2, 4, 5, 3)
LOW, HIGH = 0.0291675, 14.614643
SIGMAS = st.floats(LOW, HIGH)


def golden() -> list[dict]:
    with np.load(GOLDEN) as arrays:
        return json.loads(str(arrays["cases"]))


@pytest.mark.parametrize("index", range(len(golden())))
def test_torchsdes_own_values(index: int) -> None:
    case = golden()[index]
    tree = BrownianTree(case["seed"], case["shape"], *case["range"], GENERATORS[case["generator"]])
    answers = np.stack([tree(*question) for question in case["questions"]])
    with np.load(GOLDEN) as arrays:
        np.testing.assert_allclose(answers, arrays[str(index)], rtol=0, atol=1e-6)


@settings(max_examples=25)
@given(st.lists(st.tuples(SIGMAS, SIGMAS), min_size=1, max_size=4))
def test_no_order_of_questions_changes_it(questions: list[tuple[float, float]]) -> None:
    first, second = BrownianTree(3, SHAPE, LOW, HIGH), BrownianTree(3, SHAPE, LOW, HIGH)
    answers = [first(*question) for question in questions]
    for question, answer in reversed(list(zip(questions, answers, strict=True))):
        np.testing.assert_array_equal(second(*question), answer)
        np.testing.assert_array_equal(second(*reversed(question)), -answer)


def test_a_tree_for_each_picture_or_one_for_all() -> None:
    each = BrownianTree([5, 6], SHAPE, LOW, HIGH)(9.0, 2.0)
    for seed, picture in zip((5, 6), each, strict=True):
        np.testing.assert_array_equal(BrownianTree([seed], (1, *SHAPE[1:]), LOW, HIGH)(9.0, 2.0)[0], picture)
    whole = BrownianTree(5, SHAPE, LOW, HIGH)(9.0, 2.0)
    assert whole.shape == each.shape
    assert whole.dtype == each.dtype == np.float32
    assert np.abs(whole - each).max() > 0.1


def test_its_noise_is_unit_and_independent() -> None:
    tree = BrownianTree(1, (1, 100_000), LOW, HIGH)
    cuts = [14.6, 9.3, 8.1, 7.0, 6.99, 3.0, 0.4, 0.3, 0.0292]
    drawn = np.stack([tree(a, b)[0] for a, b in itertools.pairwise(cuts)]).astype(np.float64)
    np.testing.assert_allclose(drawn @ drawn.T / drawn.shape[1], np.eye(len(drawn)), atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=0.02)


def test_ends_of_questions() -> None:
    tree = BrownianTree([1, 2], SHAPE, LOW, HIGH)
    np.testing.assert_array_equal(tree(2.0, 2.0), 0)
    np.testing.assert_array_equal(tree(2.0, 2.0 + 1e-7), 0)  # of one float32
    # Outside of the range there is nothing, but the length counts.
    beyond = tree(HIGH, 0.0) * math.sqrt(HIGH) / math.sqrt(HIGH - LOW)
    np.testing.assert_allclose(beyond, tree(HIGH, LOW), atol=1e-6)
    np.testing.assert_array_equal(
        BrownianTree(1, SHAPE, 2.0, 2.0)(3.0, 1.0), 0
    )  # a run of one step has no range


def test_a_step_in_log_sigma() -> None:
    """float32's nearest of exp(½(log 9 + log 2)); σ itself at the ends, or what is left of it by log and exp."""
    middle = math.sqrt(18)
    through, direct = (BrownianTree(1, SHAPE, LOW, HIGH, log_ends=ends) for ends in (True, False))
    np.testing.assert_array_equal(direct.along_log(9.0, 2.0), direct(9.0, 2.0))
    np.testing.assert_allclose(direct.along_log(9.0, 2.0, 0.5), direct(9.0, middle), atol=3e-3)
    ends = [float(np.exp(np.float64(np.float32(math.log(s))))) for s in (9.0, 2.0)]
    assert ends[0] != 9
    np.testing.assert_array_equal(through.along_log(9.0, 2.0), through(*ends))


@pytest.mark.parametrize(
    ("seed", "span", "message"),
    [
        (-1, (LOW, HIGH), "none below 0, got -1"),
        (2**64, (LOW, HIGH), "seed"),
        ([1, 2, 3], (LOW, HIGH), "3 seeds for a batch of 2"),
        (1, (HIGH, LOW), "from the lowest σ to the highest"),
        (1, (LOW, math.nan), "from the lowest σ to the highest"),
        (1, (LOW, math.inf), "from the lowest σ to the highest"),
    ],
)
def test_what_there_is_no_tree_for(seed: object, span: tuple[float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BrownianTree(seed, SHAPE, *span)


def half(x: np.ndarray, at: object) -> np.ndarray:
    return 0.5 * x


SDE = {
    "2m": lambda x, schedule, rng, path: dpm_multistep(
        half, x, schedule, rng, algorithm_type="sde-dpmsolver++", path=path
    ),
    "2m of epsilon": lambda x, schedule, rng, path: dpm_multistep(
        half, x, schedule, rng, algorithm_type="sde-dpmsolver", path=path
    ),
    "3m": lambda x, schedule, rng, path: dpmpp_3m_sde(half, x, schedule, rng, path=path),
}


@pytest.mark.parametrize("name", SDE)
def test_what_an_sde_sampler_follows_takes_the_place_of_its_draws(name: str) -> None:
    sigmas = np.array([14.6, 6.0, 2.0, 0.5, 0.0])
    schedule = Schedule(sigmas, np.array([999.0, 700, 300, 50]), 4, sigmas[1:].copy(), sigmas[:-1].copy())
    x = 14.6 * TorchGenerator(0).randn(SHAPE)
    drawn = [step.x for step in SDE[name](x, schedule, TorchGenerator(1), None)]
    given_the_same = [step.x for step in SDE[name](x, schedule, None, Drawn(TorchGenerator(1), SHAPE))]
    np.testing.assert_array_equal(drawn, given_the_same)
    asked: list[tuple[float, float]] = []

    class Path:
        def __call__(self, sigma: float, sigma_next: float) -> np.ndarray:
            asked.append((sigma, sigma_next))
            return np.zeros(SHAPE)

    *_, last = SDE[name](x, schedule, None, Path())
    assert last.x.dtype == np.float32
    assert asked[:3] == list(itertools.pairwise(sigmas.tolist()))[:3]


def test_dpm_sde_spans_the_whole_run() -> None:
    """Its last half, as img2img makes it, follows the tree of the whole run; so does diffusers."""
    config = {"_class_name": "DPMSolverSDEScheduler", "noise_sampler_seed": 5}
    sampler = samplers.resolve(None, config)
    whole = sampler.schedule(8)
    rest = whole.truncated(0.5)
    assert rest.span == rest.truncated(0.5).span == whole.span == (whole.sigmas[-2], whole.sigmas[0])
    x = rest.noised(np.zeros(SHAPE, np.float32), TorchGenerator(1).randn(SHAPE))
    states = [step.x for step in sampler.run(half, x, rest)]
    path = BrownianTree(5, SHAPE, *whole.span)
    np.testing.assert_array_equal(states, [step.x for step in sampler.run(half, x, rest, path=path)])


# The sums of diffusers' tests/schedulers/test_scheduler_dpm_sde.py, on a CPU and on CUDA, whose loop feeds `step` what
# `scale_model_input` gave. (Of the means there, which are theirs over the count, one is another number.)
PUBLISHED = {
    ("epsilon", False): {"cpu": 162.52383422851562, "nv": 171.59352111816406},
    ("v_prediction", False): {"cpu": 119.8487548828125, "nv": 128.1663360595703},
    ("epsilon", True): {"cpu": 170.3135223388672, "nv": 177.63653564453125},
}


@pytest.mark.parametrize("generator", ["cpu", "nv"])
@pytest.mark.parametrize(("kind", "karras"), PUBLISHED)
def test_diffusers_own_constants(kind: str, karras: bool, generator: str) -> None:
    config = {"_class_name": "DPMSolverSDEScheduler", "num_train_timesteps": 1100, "noise_sampler_seed": 0}
    config |= {"beta_start": 1e-4, "beta_end": 0.02, "prediction_type": kind, "use_karras_sigmas": karras}
    sampler = samplers.resolve(None, config)
    schedule = sampler.schedule(10)
    count = 4 * 3 * 8 * 8
    counted = (np.arange(count, dtype=np.float32) / count).reshape(3, 8, 8, 4).transpose(3, 0, 1, 2)

    def denoise(x: np.ndarray, at: Evaluation) -> np.ndarray:
        x /= math.sqrt(at.sigma**2 + 1)  # the solver's own array
        output = x * (at.timestep / (at.timestep + 1))
        if kind == "epsilon":
            return x - at.sigma * output
        return x / (at.sigma**2 + 1) - output * (at.sigma / math.sqrt(at.sigma**2 + 1))

    # On CUDA the nodes draw there; on the CPU the sampler makes the tree itself.
    path = BrownianTree(0, counted.shape, *schedule.span, PhiloxGenerator) if generator == "nv" else None
    *_, last = sampler.run(denoise, counted * schedule.sigmas[0].astype(np.float32), schedule, path=path)
    assert float(np.abs(last.x).sum()) == pytest.approx(PUBLISHED[kind, karras][generator], abs=1e-2)
