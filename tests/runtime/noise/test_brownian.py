"""The Brownian path of DPM++ SDE: one path, whatever is asked of it and in what order."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.errors import InputError
from latentrt.noise import PerImage, TorchGenerator
from latentrt.noise.brownian import BrownianPath

SHAPE = (4, 5, 3)
SIGMAS = st.floats(1e-3, 1e3)


def increment(path: BrownianPath, a: float, b: float) -> np.ndarray:
    return path(a, b).astype(np.float64) * math.sqrt(abs(a - b))


@settings(max_examples=40)
@given(a=SIGMAS, b=SIGMAS, c=SIGMAS)
def test_increments_add_up(a: float, b: float, c: float) -> None:
    path = BrownianPath([7], SHAPE)
    total = increment(path, a, b) + increment(path, b, c)
    size = math.sqrt(max(a, b, c))
    np.testing.assert_allclose(increment(path, a, c), total, rtol=0, atol=3e-6 * size)
    np.testing.assert_array_equal(path(a, b), -path(b, a))


def test_no_order_of_questions_changes_it() -> None:
    first, second = BrownianPath([3, 4], SHAPE), BrownianPath([3, 4], SHAPE)
    asked = [(14.6, 5.0), (5.0, 0.3), (14.6, 9.0), (2.0, 1.0)]
    answers = {pair: first(*pair) for pair in asked}
    for pair in reversed(asked):
        np.testing.assert_array_equal(second(*pair), answers[pair])


def test_its_noise_is_unit_and_independent() -> None:
    path = BrownianPath([1], (100_000,))
    # Within one octave, over several, next to each other, and in neighbouring leaves of the tree.
    cuts = [14.6, 9.3, 8.1, 7.0, 6.99, 3.0, 0.4, 0.3, 0.0292]
    drawn = np.stack([path(a, b)[0] for a, b in itertools.pairwise(cuts)]).astype(np.float64)
    correlation = drawn @ drawn.T / drawn.shape[1]
    np.testing.assert_allclose(correlation, np.eye(len(drawn)), atol=0.02)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=0.02)


def test_a_batch_is_its_pictures() -> None:
    batch = BrownianPath.drawn(PerImage([TorchGenerator(s) for s in (5, 6)]), (2, *SHAPE))
    for i, seed in enumerate((5, 6)):
        single = BrownianPath.drawn(TorchGenerator(seed), (1, *SHAPE))
        np.testing.assert_array_equal(batch(10.0, 2.0)[i], single(10.0, 2.0)[0])
    assert np.abs(batch(10.0, 2.0)[0] - batch(10.0, 2.0)[1]).max() > 0.1
    np.testing.assert_array_equal(batch(2.0, 2.0), 0)


def run(config: dict[str, object], count: int, rng: TorchGenerator | None = None) -> np.ndarray:
    sampler = samplers.resolve("DPMSolverSDEScheduler", config)
    schedule = sampler.schedule(count)
    x = schedule.initial(TorchGenerator(0).randn((2, 4, 6, 6)))
    *_, last = sampler.run(lambda x, at: x * (0.25 / (0.25 + at.sigma**2)), x, schedule, rng)
    return last.x


def test_more_steps_follow_the_same_path() -> None:
    """The picture settles as steps are added: with noise drawn step by step it would be another each time."""
    coarse, fine, finest = (run({"use_karras_sigmas": True}, n, TorchGenerator(1)) for n in (10, 40, 160))
    assert np.abs(fine - finest).max() < 0.5 * np.abs(coarse - finest).max()
    assert np.abs(fine - finest).std() < 0.3 * np.abs(finest).std()


def test_where_the_path_comes_from() -> None:
    one = run({"noise_sampler_seed": 1}, 4)
    np.testing.assert_array_equal(one, run({"noise_sampler_seed": 1}, 4, TorchGenerator(9)))
    assert np.abs(one - run({"noise_sampler_seed": 2}, 4)).max() > 0.01
    np.testing.assert_array_equal(run({}, 4, TorchGenerator(9)), run({}, 4, TorchGenerator(9)))
    many = run({"noise_sampler_seed": [1, 1]}, 4)
    assert np.abs(many - one).max() > 0.01  # two paths, not one over both
    with pytest.raises(InputError, match="rng"):
        run({}, 4)
    with pytest.raises(InputError, match="3 seeds for a batch of 2"):
        run({"noise_sampler_seed": [1, 2, 3]}, 4)
