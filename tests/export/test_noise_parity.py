"""Noise against torch itself."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentrt.noise import PerImage, TorchGenerator

# On CPUs without AVX2 torch takes another approximation of log, sin and cos, which is further from exact.
BOUND = 2.5e-6 if torch.backends.cpu.get_cpu_capability() == "DEFAULT" else 1e-6

seeds = st.one_of(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**64 - 1))
sizes = st.one_of(
    st.integers(0, 15),  # the scalar path
    st.integers(1, 40).map(lambda blocks: 16 * blocks),
    st.integers(16, 700),
)
shapes = st.one_of(
    sizes.map(lambda size: (size,)),
    st.lists(st.integers(1, 9), max_size=4).map(tuple),
)
calls = st.lists(
    st.tuples(shapes, st.sampled_from(["float32", "float64"]), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=500, deadline=None)
@given(seed=seeds, calls=calls)
def test_any_sequence_of_draws_equals_torch(
    seed: int, calls: list[tuple[tuple[int, ...], str, bool]]
) -> None:
    generator, ours = torch.Generator("cpu").manual_seed(seed), TorchGenerator(seed)
    for shape, dtype, normal in calls:
        if normal:
            theirs = torch.randn(shape, generator=generator, dtype=getattr(torch, dtype)).numpy()
            bound = BOUND if dtype == "float32" else 1e-14
            np.testing.assert_allclose(ours.randn(shape, dtype), theirs, rtol=0, atol=bound)
        else:
            theirs = torch.rand(shape, generator=generator, dtype=getattr(torch, dtype)).numpy()
            np.testing.assert_array_equal(ours.rand(shape, dtype), theirs)


@pytest.mark.parametrize("shape", [(1, 4, 64, 64), (2, 4, 97, 61), (1, 4, 128, 128), (999_999,)])
def test_latents_of_real_sizes(shape: tuple[int, ...]) -> None:
    worst = 0.0
    for seed in range(5):
        theirs = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)).numpy()
        worst = max(worst, float(np.abs(TorchGenerator(seed).randn(shape) - theirs).max()))
    assert worst <= BOUND
    assert math.isfinite(worst)


def test_a_list_of_generators_is_per_image() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    shape = (3, 4, 8, 8)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in (9, 8, 7)]
    ours = PerImage([TorchGenerator(seed) for seed in (9, 8, 7)])
    for _ in range(3):
        theirs = randn_tensor(shape, generator=generators, dtype=torch.float32).numpy()
        np.testing.assert_allclose(ours.randn(shape), theirs, rtol=0, atol=BOUND)
