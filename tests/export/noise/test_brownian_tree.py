"""The Brownian tree against torchsde, asked as k-diffusion does, and DPM++ SDE along it against diffusers."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torchsde._brownian.brownian_interval as torchsde_interval
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler, DPMSolverSDEScheduler
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latentrt import samplers
from latentrt.noise import BrownianTree, PhiloxGenerator, TorchGenerator, brownian_tree
from latentrt.noise.torch_cpu import Float64Generator

# On CPUs without AVX2 torch takes another approximation of log, sin and cos, which is further from exact.
BOUND = 2.5e-6 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 1e-6

# torchsde's of a σ outside of the range, as the lowest and the highest are once they are rounded.
pytestmark = pytest.mark.filterwarnings("ignore:Should have t[ab]:UserWarning")

Seed = int | Sequence[int]
one_seed = st.integers(0, 2**64 - 1)
batches = st.integers(1, 3).flatmap(
    lambda b: st.tuples(
        st.one_of(one_seed, st.lists(one_seed, min_size=b, max_size=b)),
        st.tuples(st.just(b), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    )
)
ranges = st.tuples(*(st.floats(*ends).map(lambda s: float(np.float32(s))) for ends in ((1e-3, 1), (2, 5000))))
# Where in the range, in log σ; below 0 and above 1 outside of it.
questions = st.lists(st.tuples(st.floats(-0.02, 1.02), st.floats(-0.02, 1.02)), min_size=1, max_size=4)


def asked(low: float, high: float, question: tuple[float, float]) -> list[float]:
    """A question's σ, float32; where torchsde takes two for one, it divides 0 by 0, or nodes for ever."""
    ends = [float(np.float32(low * (high / low) ** part)) for part in question]
    first, second = (min(max(end, low), high) for end in ends)
    assume(abs(first - second) > 4e-6 * max(1, first))
    return ends


def theirs(
    seed: Seed, shape: Sequence[int], low: float, high: float, dtype: torch.dtype = torch.float32
) -> Any:
    return BrownianTreeNoiseSampler(torch.zeros(tuple(shape), dtype=dtype), low, high, seed)


def answer(tree: Any, ends: Sequence[float]) -> np.ndarray:
    return tree(*ends).numpy()


@settings(max_examples=80)
@given(batch=batches, span=ranges, questions=questions)
def test_any_tree_equals_torchsdes(batch: Any, span: Any, questions: Any) -> None:
    tree, ours = theirs(*batch, *span), BrownianTree(*batch, *span)
    for question in questions:
        ends = asked(*span, question)
        np.testing.assert_allclose(ours(*ends), answer(tree, ends), rtol=0, atol=BOUND)


@settings(max_examples=25)
@given(batch=batches, span=ranges, questions=questions)
def test_its_nodes_may_draw_as_automatic1111s(batch: Any, span: Any, questions: Any) -> None:
    """AUTOMATIC1111 exchanges what draws; the rest is float32's last bits, a few of each increment."""

    def randn(size: Any, dtype: Any, device: Any, seed: Any) -> torch.Tensor:
        return torch.from_numpy(PhiloxGenerator(int(seed)).randn(size))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchsde_interval, "_randn", randn)
        tree, ours = theirs(*batch, *span), BrownianTree(*batch, *span, PhiloxGenerator)
        for question in questions:
            ends = asked(*span, question)
            np.testing.assert_allclose(ours(*ends), answer(tree, ends), rtol=0, atol=8e-7)


@settings(max_examples=15)
@given(batch=batches, span=ranges, questions=questions)
def test_a_tree_of_float64(batch: Any, span: Any, questions: Any) -> None:
    """Its lengths stay float32: their root, by torch, is not always the nearest."""
    tree = theirs(*batch, *span, torch.float64)
    ours = BrownianTree(*batch, *span, lambda seed: Float64Generator(TorchGenerator(seed)))
    for question in questions:
        ends = asked(*span, question)
        values = ours(*ends)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, answer(tree, ends), rtol=2e-7, atol=1e-12)


def test_no_order_of_questions_changes_torchsdes_tree() -> None:
    """What ours relies on, which keeps nothing of what was asked before."""
    sigmas = np.geomspace(14.6, 0.03, 15).astype(np.float32).tolist()
    pairs = [*itertools.pairwise(sigmas), (9.0, 0.5), (9.5, 9.4)]
    forth, back = theirs(3, (1, 4, 5, 5), 0.03, 14.6), theirs(3, (1, 4, 5, 5), 0.03, 14.6)
    answers = {pair: answer(forth, pair) for pair in pairs}
    for pair in reversed(pairs):
        np.testing.assert_array_equal(answer(back, pair), answers[pair])


def network(x: np.ndarray, timestep: float) -> np.ndarray:
    at = np.float32(0.2 * (timestep / 1000 - 0.5))
    return (np.float32(0.4) * x + np.float32(0.5) * x / (1 + x * x) + at).astype(x.dtype)


@settings(max_examples=25)
@given(
    count=st.integers(1, 20),
    seed=st.one_of(one_seed, st.lists(one_seed, min_size=2, max_size=2)),
    ramp=st.sampled_from(["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", None]),
    spacing=st.sampled_from(["linspace", "leading", "trailing"]),
    prediction_type=st.sampled_from(["epsilon", "v_prediction"]),
    begin=st.integers(0, 19),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_dpm_sde_follows_the_tree_of_diffusers(
    count: int, seed: Seed, ramp: str | None, spacing: str, prediction_type: str, begin: int, dtype: Any
) -> None:
    """Whole runs and the ends of runs, whose tree is the whole run's.

    A σ that differs in its last bit is other noise: diffusers steps along our σ here, and ours asks at torch's
    logarithms, of which not all are the nearest.
    """
    config = {"beta_schedule": "scaled_linear", "noise_sampler_seed": seed, "timestep_spacing": spacing}
    config |= {"prediction_type": prediction_type} | ({ramp: True} if ramp else {})
    begin = min(begin, count - 1)
    x, noise = np.random.default_rng(count).standard_normal((2, 2, 4, 3, 4)).astype(dtype)
    sampler = samplers.resolve(None, {**config, "_class_name": "DPMSolverSDEScheduler"})
    schedule = sampler.schedule(count)
    sigmas = torch.from_numpy(schedule.sigmas[0 : len(schedule) : 2].astype(np.float32))

    scheduler = DPMSolverSDEScheduler(**config)
    scheduler.set_timesteps(count)
    twice = torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2), torch.zeros(1)])
    torch.testing.assert_close(scheduler.sigmas, twice, rtol=2e-6, atol=0)
    scheduler.sigmas = twice
    timesteps = scheduler.timesteps[2 * begin :]
    scheduler.set_begin_index(2 * begin)
    state = scheduler.add_noise(torch.from_numpy(x), torch.from_numpy(noise), timesteps[:1].repeat(2))
    for timestep in timesteps:
        output = network(scheduler.scale_model_input(state, timestep).numpy(), float(timestep))
        state = scheduler.step(torch.from_numpy(output), timestep, state).prev_sample

    class Noise:
        def randn(self, shape: Sequence[int], /) -> np.ndarray:
            return noise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            brownian_tree, "_log", lambda sigma: np.float32(torch.tensor(np.float32(sigma)).log().item())
        )
        patch.setattr(brownian_tree, "_exp", lambda log: torch.tensor(log).exp().item())
        strength = (count - begin) / count
        sample = samplers.run(sampler_config(config), network, x, count, strength=strength, rng=Noise())
    assert sample.dtype == dtype
    largest = float(state.abs().max())
    np.testing.assert_allclose(sample, state.numpy(), rtol=0, atol=5e-6 * largest)


def sampler_config(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "_class_name": "DPMSolverSDEScheduler"}
