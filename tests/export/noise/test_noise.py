"""Noise against torch itself."""

import math
import random

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


def check(
    ours: TorchGenerator, generator: torch.Generator, op: str, shape: tuple[int, ...], dtype: str
) -> None:
    """Draw once from both; uniform numbers and float64 normals are the same, float32 normals within `BOUND`."""
    theirs = getattr(torch, op)(shape, generator=generator, dtype=getattr(torch, dtype)).numpy()
    values = getattr(ours, op)(shape, dtype)
    assert values.dtype == theirs.dtype
    assert values.shape == theirs.shape
    bound = 0.0 if op == "rand" else BOUND if dtype == "float32" else 1e-14
    assert np.abs(values - theirs).max(initial=0) <= bound, (op, shape, dtype)


@settings(max_examples=200)
@given(seed=seeds, calls=calls)
def test_any_sequence_of_draws_equals_torch(
    seed: int, calls: list[tuple[tuple[int, ...], str, bool]]
) -> None:
    generator, ours = torch.Generator("cpu").manual_seed(seed), TorchGenerator(seed)
    for shape, dtype, normal in calls:
        check(ours, generator, "randn" if normal else "rand", shape, dtype)


def test_ten_thousand_sequences_of_draws_equal_torch() -> None:
    """Seeds of all sizes, shapes of every class, both dtypes, `rand` between; the last draw tells any lost state."""
    choose = random.Random(0)
    for _ in range(10_000):
        seed = choose.choice([choose.randrange(2**32), choose.randrange(-(2**63), 2**64), 2**64 - 1, 0])
        generator, ours = torch.Generator("cpu").manual_seed(seed), TorchGenerator(seed)
        for _ in range(choose.randint(1, 6)):
            size = choose.choice([choose.randint(0, 15), 16 * choose.randint(1, 20), choose.randint(16, 300)])
            shape = choose.choice(
                [(size,), (size, 1), (1, 4, choose.randint(1, 9), choose.randint(1, 9)), ()]
            )
            op = choose.choice(["randn", "randn", "randn", "rand"])
            check(ours, generator, op, shape, choose.choice(["float32", "float32", "float64"]))
        check(ours, generator, "randn", (3,), "float32")


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
