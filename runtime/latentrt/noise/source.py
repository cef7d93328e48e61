"""What a source of noise is, and one source per picture of a batch."""

import operator
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError

FloatArray = NDArray[np.floating[Any]]


class NoiseSource(Protocol):
    """What a sampler draws its noise from: independent standard normal numbers, float32 where nothing else is said."""

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw the next array of this shape."""
        ...


class PerImage:
    """One source per picture of the batch, each of which draws (1, …).

    diffusers' list of generators, and AUTOMATIC1111's convention with seeds s, s+1, s+2, …: picture i of a batch is
    then the picture of its own seed alone.

    Args:
        sources: one for each picture, in order.
    """

    def __init__(self, sources: Sequence[NoiseSource]) -> None:
        self._sources = tuple(sources)
        if not self._sources:
            raise InputError("sources: expected one noise source per picture, got none")

    def randn(self, shape: Sequence[int], /) -> FloatArray:
        """Draw (b, …), picture i from source i.

        Raises:
            InputError: the batch is not as many as the sources.
        """
        batch, *rest = shape
        if batch != len(self._sources):
            raise InputError(
                f"noise: {len(self._sources)} generators for a batch of {batch}; expected one each"
            )
        return np.concatenate([source.randn((1, *rest)) for source in self._sources])


def check_seed(seed: int) -> int:
    """Give the seed as a plain integer, if torch would take it.

    Raises:
        InputError: it is no integer from −2⁶³ to 2⁶⁴ − 1.
    """
    try:
        value = operator.index(seed)
    except TypeError:
        raise InputError(f"seed: expected an integer, got {seed!r}") from None
    if not -(2**63) <= value < 2**64:
        raise InputError(f"seed: expected an integer from -2**63 to 2**64 - 1, got {value}")
    return value


def check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Give the shape as plain integers.

    Raises:
        InputError: a size is negative.
    """
    sizes = tuple(operator.index(size) for size in shape)
    if any(size < 0 for size in sizes):
        raise InputError(f"shape: expected sizes of 0 or more, got {sizes}")
    return sizes
