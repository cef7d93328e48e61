"""AUTOMATIC1111's seed resize."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import InputError
from latentrt.noise import PhiloxGenerator, SeedResize, TorchGenerator

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


class Counted:
    """Noise that says where it comes from: 1, 2, 3 … in the order of the array."""

    def randn(self, shape: tuple[int, ...], /) -> np.ndarray:
        return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


class Zeros:
    def randn(self, shape: tuple[int, ...], /) -> np.ndarray:
        return np.zeros(shape)


@given(size=sizes, other=sizes)
def test_the_other_lies_in_the_middle(size: tuple[int, int], other: tuple[int, int]) -> None:
    noise = SeedResize(Zeros(), Counted(), other).randn((1, 1, *size))[0, 0]
    laid = Counted().randn(other)
    rows, columns = np.nonzero(noise)
    for axis, found in enumerate((rows, columns)):
        # All of what is smaller; of a larger one as much as there is room for, or one less where it is odd.
        room = min(size[axis], other[axis])
        odd = other[axis] > size[axis] and (other[axis] - size[axis]) % 2 == 1
        assert len(set(found)) == room - odd or not len(found)
        assert not len(found) or set(found) == set(range(min(found), max(found) + 1))
    shift = [(size[axis] - other[axis]) // 2 for axis in (0, 1)]
    for row, column in zip(rows, columns, strict=True):
        assert noise[row, column] == laid[row - shift[0], column - shift[1]]


def test_only_the_first_array_is_laid() -> None:
    source, plain = SeedResize(TorchGenerator(3), TorchGenerator(3), (2, 2)), TorchGenerator(3)
    first = source.randn((2, 4, 6, 5))
    noise = plain.randn((2, 4, 6, 5))
    np.testing.assert_array_equal(first[:, :, 2:4, 1:3], TorchGenerator(3).randn((2, 4, 2, 2)))
    assert (first != noise).sum() == 2 * 4 * 2 * 2
    np.testing.assert_array_equal(source.randn((2, 4, 6, 5)), plain.randn((2, 4, 6, 5)))


def test_of_its_own_size_it_is_the_other() -> None:
    source = SeedResize(PhiloxGenerator(1), PhiloxGenerator(2), (6, 5))
    np.testing.assert_array_equal(source.randn((1, 4, 6, 5)), PhiloxGenerator(2).randn((1, 4, 6, 5)))


def test_what_cannot_be_laid() -> None:
    with pytest.raises(InputError, match="1 latent or more"):
        SeedResize(TorchGenerator(1), TorchGenerator(1), (0, 4))
    with pytest.raises(InputError, match="expected latents"):
        SeedResize(TorchGenerator(1), TorchGenerator(1), (4, 4)).randn((4, 8))
