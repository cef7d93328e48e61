"""Read and rewrite an ONNX graph without the onnx package.

Only the part of onnx.proto that is needed is declared here, by field number
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); protobuf keeps the fields that it does not know.

A graph without weights has external initializers under their checkpoint names. Where the graph computes in another type
than it declares for them, a `Cast` follows: then the caller may supply any float type, since `Cast` takes what comes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from latentrt.errors import GraphError

MAX_GRAPH_BYTES = 2**31 - 1  # protobuf's own limit
DTYPES: dict[int, np.dtype[Any]] = {  # by TensorProto.DataType
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
}
# TensorProto.DataType by the name that safetensors gives the type
ONNX_TYPES = {
    "F32": 1,
    "U8": 2,
    "I8": 3,
    "I16": 5,
    "I32": 6,
    "I64": 7,
    "BOOL": 9,
    "F16": 10,
    "F64": 11,
    "BF16": 16,
}

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT32, _INT64, _STRING, _BYTES = _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES
_FLOAT, _DOUBLE = _FIELD.TYPE_FLOAT, _FIELD.TYPE_DOUBLE
# message -> field -> (number, repeated, type or message name)
_SCHEMA: dict[str, dict[str, tuple[int, bool, int | str]]] = {
    "StringStringEntry": {"key": (1, False, _STRING), "value": (2, False, _STRING)},
    "Tensor": {
        "dims": (1, True, _INT64),
        "data_type": (2, False, _INT32),
        "float_data": (4, True, _FLOAT),
        "int32_data": (5, True, _INT32),
        "int64_data": (7, True, _INT64),
        "name": (8, False, _STRING),
        "raw_data": (9, False, _BYTES),
        "double_data": (10, True, _DOUBLE),
        "external_data": (13, True, "StringStringEntry"),
        "data_location": (14, False, _INT32),
    },
    "Attribute": {
        "name": (1, False, _STRING),
        "f": (2, False, _FLOAT),
        "i": (3, False, _INT64),
        "s": (4, False, _BYTES),
        "t": (5, False, "Tensor"),
        "g": (6, False, "Graph"),
        "floats": (7, True, _FLOAT),
        "ints": (8, True, _INT64),
        "graphs": (11, True, "Graph"),
        "type": (20, False, _INT32),
    },
    "Node": {
        "input": (1, True, _STRING),
        "output": (2, True, _STRING),
        "op_type": (4, False, _STRING),
        "attribute": (5, True, "Attribute"),
        "domain": (7, False, _STRING),
    },
    "Dimension": {"dim_value": (1, False, _INT64), "dim_param": (2, False, _STRING)},
    "Shape": {"dim": (1, True, "Dimension")},
    "TensorType": {"elem_type": (1, False, _INT32), "shape": (2, False, "Shape")},
    "Type": {"tensor_type": (1, False, "TensorType")},
    "ValueInfo": {"name": (1, False, _STRING), "type": (2, False, "Type")},
    "Graph": {
        "node": (1, True, "Node"),
        "initializer": (5, True, "Tensor"),
        "input": (11, True, "ValueInfo"),
        "output": (12, True, "ValueInfo"),
    },
    "OperatorSet": {"domain": (1, False, _STRING), "version": (2, False, _INT64)},
    "Model": {
        "ir_version": (1, False, _INT64),
        "graph": (7, False, "Graph"),
        "opset_import": (8, True, "OperatorSet"),
    },
}


def _model_class() -> Callable[..., Any]:
    file = descriptor_pb2.FileDescriptorProto(name="latentrt/onnx_subset.proto", package="latentrt.onnx")
    for name, fields in _SCHEMA.items():
        descriptor = file.message_type.add(name=name)
        for field_name, (number, repeated, kind) in fields.items():
            item = descriptor.field.add(name=field_name, number=number)
            item.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                item.type, item.type_name = _FIELD.TYPE_MESSAGE, f".latentrt.onnx.{kind}"
            else:
                item.type = kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("latentrt.onnx.Model"))


_Model = _model_class()


@dataclass(frozen=True)
class Value:
    """An input or output of a graph. A dimension is a number, or the name of a free one."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Parameter:
    """A weight that the graph wants: the checkpoint tensor's name and shape, and the type that is declared for it.

    `is_cast`: the graph casts it wherever it is used, so that every float type serves.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_cast: bool


@dataclass(frozen=True)
class Place:
    """Where the bytes of an initializer lie: in a file, from `offset`; without a length, they are handed in memory.

    `dtype` is named as safetensors does: "F16".
    """

    dtype: str
    location: str = "memory"
    offset: int = 0
    length: int | None = None


class Graph:
    """One ONNX model, parsed."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._model = _Model()
        try:
            self._model.ParseFromString(data)
        except message.DecodeError as error:
            raise GraphError(f"{name}: not an ONNX model ({error})") from error
        if not self._model.graph.node:
            raise GraphError(f"{name}: not an ONNX model, or one without any node")
        graph = self._model.graph
        initialized = {tensor.name for tensor in graph.initializer}
        self.inputs = {v.name: _value(v) for v in graph.input if v.name not in initialized}
        self.outputs = {v.name: _value(v) for v in graph.output}

    @classmethod
    def open(cls, path: Path) -> "Graph":
        """Parse a file.

        Raises:
            GraphError: absent, larger than protobuf allows, or no ONNX model.
        """
        try:
            if path.stat().st_size > MAX_GRAPH_BYTES:
                raise GraphError(f"{path}: larger than the 2 GiB that an ONNX file can have")
            return cls(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise GraphError(f"{path}: no such graph") from None

    @property
    def proto(self) -> Any:
        """The parsed ModelProto, as far as it is declared here, for those who rewrite it."""
        return self._model

    @property
    def operators(self) -> Counter[tuple[str, str]]:
        """How often each (domain, operator) occurs; the empty domain is ONNX's own."""
        return Counter((node.domain, node.op_type) for node in self._model.graph.node)

    @property
    def parameters(self) -> list[Parameter]:
        """Every external initializer."""
        users: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for node in self._model.graph.node:
            for name in _names_used(node):
                users[name].add((node.domain, node.op_type))
        parameters = []
        for tensor in self._external():
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

    def _external(self) -> list[Any]:
        return [t for t in self._model.graph.initializer if t.data_location == 1]  # 1 = EXTERNAL

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
    model = _Model(ir_version=8)
    model.opset_import.add(version=17)
    model.graph.node.add(op_type="Identity", input=["x"], output=["y"])
    for value, name in ((model.graph.input.add(), "x"), (model.graph.output.add(), "y")):
        value.name = name
        value.type.tensor_type.elem_type = ONNX_TYPES["F32"]
        value.type.tensor_type.shape.dim.add(dim_value=1)
    data: bytes = model.SerializeToString()
    return data
