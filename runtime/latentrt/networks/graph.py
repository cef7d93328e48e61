"""One ONNX model: what goes in, what comes out, which weights it wants, and where those are said to lie.

A graph without weights has external initializers under their checkpoint names. Where the graph computes in another type
than it declares for them, a `Cast` follows: then the caller may supply any float type, since `Cast` takes what comes.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import message

from latentrt.errors import GraphError
from latentrt.networks.proto import DTYPES, EXTERNAL, ONNX_TYPES, ModelProto


@dataclass(frozen=True)
class Value:
    """An input or output of a graph. A dimension is a number, or the name of a free one."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Parameter:
    """A weight that the graph wants: the checkpoint tensor's name and shape, and the type that is declared for it.

    `is_cast`: the graph casts it wherever it is used, so that every float type serves. `quantized`: the graph takes it
    in 8-bit integers, under other names.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_cast: bool
    quantized: "Quantized | None" = None


@dataclass(frozen=True)
class Quantized:
    """A weight that the graph takes in integers.

    Attributes:
        shape: the checkpoint tensor's, (n_out, n_in, …).
        outputs: so many matrices of an equal share of the outputs each.
        inputs: or a matrix for so many inputs each, where they are quantised apart; empty: for all of them.
    """

    shape: tuple[int, ...]
    outputs: int = 1
    inputs: tuple[int, ...] = ()

    def matrices(self, tensor: str) -> list["Matrix"]:
        """What the graph takes in place of the checkpoint's tensor of that name."""
        step = self.shape[0] // self.outputs
        inputs = self.inputs or self.shape[1:2]
        ends = list(itertools.accumulate(inputs))
        parts = [
            (slice(at * step, (at + 1) * step), slice(end - n_in, end))
            for at in range(self.outputs)
            for n_in, end in zip(inputs, ends, strict=True)
        ]
        suffixes = [""] if len(parts) == 1 else [f".{at}" for at in range(len(parts))]
        return [
            Matrix(
                f"{tensor}/int8{suffix}",
                f"{tensor}/scale{suffix}",
                part,
                ((part[1].stop - part[1].start) * math.prod(self.shape[2:]), step),
            )
            for suffix, part in zip(suffixes, parts, strict=True)
        ]


class Matrix(NamedTuple):
    """A part of a weight in integers: int8 (rows, n_out) and its scales, float32 (n_out,).

    Attributes:
        weight: the initializer's name.
        scale: its scales' name.
        part: which outputs and inputs of the checkpoint's tensor it is made of.
        shape: (rows, n_out).
    """

    weight: str
    scale: str
    part: tuple[slice, slice]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Place:
    """Where the bytes of an initializer lie: in a file, from `offset`; without a length, they are handed in memory.

    `dtype` is named as safetensors does: "F16". `scale`, float32: what the values are to be multiplied by, where the
    graph casts them; a number, or one for each row.
    """

    dtype: str
    location: str = "memory"
    offset: int = 0
    length: int | None = None
    scale: np.ndarray[Any, Any] | None = None


class Graph:
    """One ONNX model.

    Args:
        model: a ModelProto, as far as it is declared in `proto.py`.
        name: for messages.
        quantized: the weights that it takes in integers, by the checkpoint's names.
    """

    def __init__(self, model: Any, name: str, quantized: Mapping[str, Quantized] | None = None) -> None:
        self.name = name
        self.quantized = dict(quantized or {})
        self._model = model
        graph = model.graph
        initialized = {tensor.name for tensor in graph.initializer}
        self.inputs = {v.name: _value(v) for v in graph.input if v.name not in initialized}
        self.outputs = {v.name: _value(v) for v in graph.output}

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Graph":
        """Parse ONNX bytes.

        Raises:
            GraphError: they are no ONNX model.
        """
        model = ModelProto()
        try:
            model.ParseFromString(data)
        except message.DecodeError as error:
            raise GraphError(f"{name}: not an ONNX model ({error})") from error
        if not model.graph.node:
            raise GraphError(f"{name}: not an ONNX model, or one without any node")
        return cls(model, name)

    @property
    def proto(self) -> Any:
        """The parsed ModelProto, as far as it is declared here, for those who read nodes."""
        return self._model

    @property
    def operators(self) -> Counter[tuple[str, str]]:
        """How often each (domain, operator) occurs; the empty domain is ONNX's own."""
        return Counter((node.domain, node.op_type) for node in self._model.graph.node)

    @property
    def convolution_share(self) -> float:
        """Of its parameters, the share of kernels that a `Conv` takes."""
        sizes = [
            (math.prod(one.shape), len(one.shape) == 4 and one.quantized is None) for one in self.parameters
        ]
        return sum(size for size, kernel in sizes if kernel) / max(sum(size for size, _ in sizes), 1)

    def copy(self) -> "Graph":
        """The same graph, to be changed by itself."""
        model = ModelProto()
        model.CopyFrom(self._model)
        made = Graph(model, self.name, self.quantized)
        made.__dict__["parameters"] = self.parameters  # counted once for all copies
        return made

    @cached_property
    def parameters(self) -> list[Parameter]:
        """Every external initializer; those that are made of one tensor of the checkpoint, in integers, as that one.

        They stay as they were declared, wherever the graph is told that they lie.
        """
        made = {
            name
            for tensor, one in self.quantized.items()
            for matrix in one.matrices(tensor)
            for name in matrix[:2]
        }
        users: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for node in self._model.graph.node:
            for name in _names_used(node):
                users[name].add((node.domain, node.op_type))
        half = np.dtype(np.float16)
        parameters = [
            Parameter(name, one.shape, half, is_cast=True, quantized=one)
            for name, one in self.quantized.items()
        ]
        for tensor in self._external():
            if tensor.name in made:
                continue
            dtype = DTYPES.get(tensor.data_type)
            if dtype is None:
                raise GraphError(
                    f"{self.name}: initializer {tensor.name} has ONNX type {tensor.data_type}, unknown here"
                )
            is_cast = users[tensor.name] == {("", "Cast")} and tensor.name not in self.outputs
            parameters.append(Parameter(tensor.name, tuple(tensor.dims), dtype, is_cast))
        return parameters

    def place(self, places: Mapping[str, "Place"]) -> None:
        """Say where each external initializer lies and in which type, by parameter name."""
        for tensor in self._external():
            place = places[tensor.name]
            tensor.data_type = ONNX_TYPES[place.dtype]
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value=place.location)
            if place.length is not None:
                tensor.external_data.add(key="offset", value=str(place.offset))
                tensor.external_data.add(key="length", value=str(place.length))
        self._scale({name: place.scale for name, place in places.items() if place.scale is not None})

    def _scale(self, scales: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Multiply parameters behind their `Cast`; ONNX Runtime computes that once, when it loads the graph."""
        if not scales:
            return
        nodes = list(self._model.graph.node)
        del self._model.graph.node[:]
        for node in nodes:
            added = self._model.graph.node.add()
            added.CopyFrom(node)
            if node.op_type != "Cast" or node.input[0] not in scales:
                continue
            (output,) = node.output
            (kind,) = (attribute.i for attribute in node.attribute if attribute.name == "to")
            added.output[0], factor = f"{output}/unscaled", f"{output}/scale"
            values = scales[node.input[0]].astype(DTYPES[kind])
            self._model.graph.initializer.add(
                name=factor, data_type=kind, dims=values.shape, raw_data=values.tobytes()
            )
            self._model.graph.node.add(
                op_type="Mul", input=[added.output[0], factor], output=[output], name=f"{output}/scaled"
            )

    def _external(self) -> list[Any]:
        return [t for t in self._model.graph.initializer if t.data_location == EXTERNAL]

    def serialize(self) -> bytes:
        """The model as ONNX bytes."""
        data: bytes = self._model.SerializeToString()
        return data


def _value(value: Any) -> Value:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else str(d.dim_param) for d in tensor.shape.dim)
    return Value(value.name, DTYPES.get(tensor.elem_type), shape)


def _names_used(node: Any) -> list[str]:
    """What a node reads, the graphs inside its attributes included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs] if attribute.HasField("g") or attribute.graphs else []:
            names += [output.name for output in graph.output]
            for inner in graph.node:
                names += _names_used(inner)
    return names


def identity_graph() -> bytes:
    """The smallest model there is, y = x for one float: what a provider must be able to start."""
    model = ModelProto(ir_version=8)
    model.opset_import.add(version=17)
    model.graph.node.add(op_type="Identity", input=["x"], output=["y"])
    for value, name in ((model.graph.input.add(), "x"), (model.graph.output.add(), "y")):
        value.name = name
        value.type.tensor_type.elem_type = ONNX_TYPES["F32"]
        value.type.tensor_type.shape.dim.add(dim_value=1)
    data: bytes = model.SerializeToString()
    return data
