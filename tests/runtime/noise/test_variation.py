"""Variation seeds: the blend of AUTOMATIC1111, its ends, its fallback, and what it leaves alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import InputError
from latentrt.noise import PerImage, PhiloxGenerator, TorchGenerator, Variation
from latentrt.noise.variation import slerp

SHAPE = (1, 4, 8, 6)


class Fixed:
    """A source that gives what it was made with."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = list(arrays)

    def randn(self, shape):
        array = self.arrays.pop(0)
        assert array.shape == tuple(shape)
        return array


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_each_column_turns_by_its_share_of_the_angle(seed: int, strength: float) -> None:
    """Of unit vectors: the result is one, in their plane, strength · omega from the first."""
    rng = np.random.default_rng(seed)
    low, high = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in rng.standard_normal((2, *SHAPE)))
    result = slerp(strength, low, high)
    omega = np.arccos((low * high).sum(2))
    np.testing.assert_allclose(np.linalg.norm(result, axis=2), 1, atol=1e-12)
    np.testing.assert_allclose((result * low).sum(2), np.cos(strength * omega), atol=1e-12)
    np.testing.assert_allclose((result * high).sum(2), np.cos((1 - strength) * omega), atol=1e-12)


def test_a_column_by_hand() -> None:
    """Columns (3, 0) and (0, 4), at a right angle: sin(30°)·3 and sin(60°)·4 at two thirds."""
    low, high = np.zeros((2, 1, 1, 2, 1))
    low[0, 0, 0, 0], high[0, 0, 1, 0] = 3, 4
    np.testing.assert_allclose(slerp(2 / 3, low, high).ravel(), [1.5, 2 * math.sqrt(3)], rtol=1e-15)


def test_nearly_parallel_noise_is_blended_the_other_way_round() -> None:
    """AUTOMATIC1111's fallback exchanges the two; a batch decides picture by picture."""
    rng = np.random.default_rng(0)
    low = rng.standard_normal((2, 4, 8, 6))
    high = rng.standard_normal((2, 4, 8, 6))
    high[0] = low[0] * 1.5 + 1e-3 * high[0]
    result = slerp(0.25, low, high)
    np.testing.assert_allclose(result[0], 0.25 * low[0] + 0.75 * high[0], rtol=1e-15)
    np.testing.assert_allclose(result[1:], slerp(0.25, low[1:], high[1:]), rtol=1e-15)


def test_the_ends_are_the_two_seeds() -> None:
    for make in (TorchGenerator, PhiloxGenerator):
        first, other = make(1).randn(SHAPE), make(2).randn(SHAPE)
        np.testing.assert_array_equal(Variation(make(1), make(2), 0).randn(SHAPE), first)
        np.testing.assert_allclose(Variation(make(1), make(2), 1).randn(SHAPE), other, rtol=1e-6, atol=1e-7)


def test_only_the_first_array_is_blended() -> None:
    a, b, c = (np.random.default_rng(0).standard_normal((3, *SHAPE))).astype(np.float32)
    source = Variation(Fixed(a, b), Fixed(c), 0.3)
    first = source.randn(SHAPE)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, slerp(0.3, a, c).astype(np.float32))
    np.testing.assert_array_equal(source.randn(SHAPE), b)


def test_in_a_batch_each_picture_is_the_one_it_is_alone() -> None:
    def one(index: int) -> Variation:
        return Variation(TorchGenerator(5), TorchGenerator(100 + index), 0.4)

    batch = PerImage([one(i) for i in range(3)]).randn((3, 4, 8, 8))
    for index in range(3):
        np.testing.assert_array_equal(batch[index : index + 1], one(index).randn((1, 4, 8, 8)))


def test_refuses_other_strengths_and_shapes() -> None:
    for strength in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="variation strength"):
            Variation(TorchGenerator(0), TorchGenerator(1), strength)
    for shape in ((4, 8, 8), (1, 4, 1, 8)):
        with pytest.raises(InputError, match="latents"):
            Variation(TorchGenerator(0), TorchGenerator(1), 0.5).randn(shape)
