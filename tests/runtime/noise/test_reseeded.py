"""Streams of which only the first array is the seed's: ComfyUI's ancestral samplers, AUTOMATIC1111's ENSD."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latentrt.noise import PerImage, PhiloxGenerator, Reseeded, TorchGenerator, Variation

SHAPE = (1, 4, 5, 3)


@given(seed=st.integers(0, 2**63), delta=st.integers(0, 2**31))
def test_what_follows_is_another_stream_from_its_beginning(seed: int, delta: int) -> None:
    source, later = Reseeded(TorchGenerator(seed), TorchGenerator(seed + delta)), TorchGenerator(seed + delta)
    np.testing.assert_array_equal(source.randn(SHAPE), TorchGenerator(seed).randn(SHAPE))
    for shape in (SHAPE, (1, 2, 3), SHAPE):
        np.testing.assert_array_equal(source.randn(shape), later.randn(shape))


def test_a_new_generator_of_the_same_seed_draws_the_first_noise_again() -> None:
    source = Reseeded(TorchGenerator(7), TorchGenerator(7))
    first = source.randn((2, 4, 5, 3))
    np.testing.assert_array_equal(source.randn((2, 4, 5, 3)), first)


def test_each_picture_has_its_own_and_variations_end_with_the_first() -> None:
    def made(seed: int) -> Reseeded:
        return Reseeded(Variation(PhiloxGenerator(seed), PhiloxGenerator(99), 0.4), PhiloxGenerator(seed + 3))

    batch = PerImage([made(seed) for seed in (5, 6)])
    singles = [made(seed) for seed in (5, 6)]
    for _ in range(2):
        drawn = batch.randn((2, *SHAPE[1:]))
        np.testing.assert_array_equal(drawn, np.concatenate([single.randn(SHAPE) for single in singles]))
    np.testing.assert_array_equal(drawn[1:], PhiloxGenerator(9).randn(SHAPE))
