"""What is known of one value of a graph, and of one node, before anything is run.

What is known of a value is an array. Where the data are known (small tensors that follow from shapes and constants,
such as the sizes that a Resize wants) it holds them; else it is a *ghost*: one element repeated by strides of zero, so
that a tensor of any size costs nothing, and numpy's views tell the shapes of ours.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import GraphError
from latentrt.networks.proto import DTYPES

Array = npt.NDArray[Any]
MAX_KNOWN = 1 << 16  # elements of the largest tensor whose data are followed
# Types by TensorProto.DataType, with those that weights may be stored in and numpy has no name for.
ELEMENTS: dict[int, np.dtype[Any]] = {
    **DTYPES,
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    16: np.dtype("V2"),  # bfloat16
}
# AttributeProto's fields by their type
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}


@dataclass(frozen=True)
class Tensor:
    """What is known of a value.

    `is_known`: `array` holds the data, else it is a ghost. `is_constant`: it follows from weights and shapes alone, so
    that it is computed once, when a session is made with its sizes pinned, and not in every call.
    """

    array: Array
    is_known: bool = False
    is_constant: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in the graph's own type."""
        return math.prod(self.array.shape) * self.array.dtype.itemsize


@dataclass(frozen=True)
class Node:
    """One node with what is known of its inputs, `names` by name; None is an input that is left out."""

    label: str
    operator: str
    names: Sequence[str]
    inputs: Sequence[Tensor | None]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    opset: int

    def has(self, index: int) -> bool:
        """Whether that input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def tensor(self, index: int) -> Tensor:
        """An input that must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise GraphError(f"{self.label}: has no input {index}, which the operator needs")
        return found

    def array(self, index: int) -> Array:
        """An input that must be there, data or ghost."""
        return self.tensor(index).array

    def known(self, index: int) -> Array:
        """The data of an input that the shape of the output depends on."""
        tensor = self.tensor(index)
        if not tensor.is_known:
            raise GraphError(
                f"{self.label}: its shape depends on the data of {self.names[index]}, which are known in a run only"
            )
        return tensor.array

    def ints(self, index: int, attribute: str) -> list[int] | None:
        """Numbers that newer opsets take as an input and older ones as an attribute, if they are given."""
        if attribute in self.attributes:
            return [int(i) for i in self.attributes[attribute]]
        return [int(i) for i in self.known(index).reshape(-1)] if self.has(index) else None

    @property
    def is_known(self) -> bool:
        """Whether the data of every input are known."""
        return all(tensor.is_known for tensor in self.inputs if tensor is not None)

    @property
    def is_constant(self) -> bool:
        """Whether every input is constant; of `Shape` only the shape is read, which always is."""
        return self.operator in ("Shape", "Size") or all(
            tensor.is_constant for tensor in self.inputs if tensor is not None
        )


def ghost(shape: Sequence[int], dtype: Any) -> Array:
    """An array of that shape which takes no memory and holds nothing."""
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))


def constant(label: str, proto: Any) -> Tensor:
    """An initializer; its data are read where it is small and inline."""
    dtype = ELEMENTS.get(proto.data_type)
    if dtype is None:
        raise GraphError(f"{label}: initializer {proto.name} has ONNX type {proto.data_type}, unknown here")
    shape = tuple(proto.dims)
    if proto.data_location == 1 or math.prod(shape) > MAX_KNOWN or dtype.kind == "V":
        return Tensor(ghost(shape, dtype), is_constant=True)
    if proto.raw_data:
        array = np.frombuffer(proto.raw_data, dtype.newbyteorder("<")).astype(dtype)
    elif dtype == np.float16:  # its bits, in int32_data
        array = np.array(proto.int32_data, np.uint16).view(dtype)
    else:
        fields = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}
        array = np.array(getattr(proto, fields.get(dtype.name, "int32_data")), dtype)
    if array.size != math.prod(shape):
        raise GraphError(f"{label}: initializer {proto.name} {shape} holds {array.size} elements")
    return Tensor(array.reshape(shape), is_known=True, is_constant=True)


def attributes(label: str, node: Any) -> dict[str, Any]:
    """A node's attributes by name; those that are tensors as `Tensor`."""
    values: dict[str, Any] = {}
    for attribute in node.attribute:
        kind = _FIELDS.get(attribute.type)
        if kind is None:
            raise GraphError(f"{label}: attribute {attribute.name} has type {attribute.type}, unknown here")
        value = getattr(attribute, kind)
        if kind == "s":
            value = value.decode()
        values[attribute.name] = constant(label, value) if kind == "t" else value
    return values


# What the rule for an operator gives, output by output: a tensor with data, or a ghost.
Result = Sequence[Tensor | Array]
Rule = Callable[[Node], Result]


def with_data(array: Any, dtype: Any = None) -> Result:
    """One output whose data are known."""
    return [Tensor(np.asarray(array, dtype), is_known=True)]


def moved(node: Node, array: Array) -> Result:
    """The first input's elements in another place: data stay data, ghosts stay ghosts."""
    return [Tensor(array, is_known=True)] if node.is_known else [array]
