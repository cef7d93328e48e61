"""Weights in 8-bit integers, made of the checkpoint's own tensors, one at a time."""

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from latentrt.errors import WeightsError
from latentrt.networks import Parameter, quantize

Array = npt.NDArray[Any]


def in_integers(component: str, parameter: Parameter, weight: Array) -> Iterator[tuple[str, Array]]:
    """What the graph takes in place of a parameter that it wants quantised: initializers by name.

    Raises:
        WeightsError: the weight holds NaN or infinity.
    """
    if parameter.quantized is None:
        raise TypeError(f"{component}: {parameter.name} is taken as it is")
    for matrix in parameter.quantized.matrices(parameter.name):
        try:
            integers, scales = quantize(weight[matrix.part])
        except ValueError as error:
            raise WeightsError(
                f"{component}: tensor {parameter.name} holds {error}; expected finite numbers, as int8 takes"
            ) from error
        yield matrix.weight, integers
        yield matrix.scale, scales
