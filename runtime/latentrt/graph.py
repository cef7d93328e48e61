"""Read and rewrite an ONNX graph without the onnx package.

Only the part of onnx.proto that is needed is declared here, by field number
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); protobuf keeps the fields that it does not know.

A graph without weights has external initializers under their checkpoint names. From each may lead a *prologue*, a chain
of one-input nodes (a cast, a transposition) before the weight is used. ONNX Runtime would fold these one by one at load
with all weights held twice; here they are planned once, taken out of the graph, and computed by numpy.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from latentrt.errors import GraphError

Array = npt.NDArray[Any]

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
_ONNX_TYPES = {dtype: number for number, dtype in DTYPES.items()}

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT32, _INT64, _STRING, _BYTES = _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES
# message -> field -> (number, repeated, type or message name)
_SCHEMA: dict[str, dict[str, tuple[int, bool, int | str]]] = {
    "StringStringEntry": {"key": (1, False, _STRING), "value": (2, False, _STRING)},
    "Tensor": {
        "dims": (1, True, _INT64),
        "data_type": (2, False, _INT32),
        "name": (8, False, _STRING),
        "raw_data": (9, False, _BYTES),
        "external_data": (13, True, "StringStringEntry"),
        "data_location": (14, False, _INT32),
    },
    "Attribute": {
        "name": (1, False, _STRING),
        "i": (3, False, _INT64),
        "g": (6, False, "Graph"),
        "ints": (8, True, _INT64),
        "graphs": (11, True, "Graph"),
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
    "OperatorSet": {"version": (2, False, _INT64)},
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


@dataclass
class Parameter:
    """A weight that the graph wants: which, in what shape, and what is done with it before it is used.

    `name`, `shape` and `dtype` are the checkpoint tensor's. `result_name` is what the session is to be handed,
    of `result_dtype`, after `permutations` of the axes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    result_name: str
    result_dtype: np.dtype[Any]
    permutations: list[tuple[int, ...]] = field(default_factory=list)

    def prepare(self, array: Array) -> Array:
        """The checkpoint's array, as the session wants it: contiguous, of `result_dtype`."""
        for permutation in self.permutations:
            array = array.transpose(permutation)
        return np.asarray(array, self.result_dtype, order="C")


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
    def operators(self) -> Counter[tuple[str, str]]:
        """How often each (domain, operator) occurs; the empty domain is ONNX's own."""
        return Counter((node.domain, node.op_type) for node in self._model.graph.node)

    def take_parameters(self) -> list[Parameter]:
        """Make every external initializer one that the caller supplies, with its prologue taken out of the graph."""
        graph = self._model.graph
        users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in _names_used(node):
                users[name].append(node)
        outputs = set(self.outputs)
        folded: set[int] = set()
        parameters = []
        for tensor in graph.initializer:
            if tensor.data_location != 1:  # 1 = EXTERNAL
                continue
            dtype = DTYPES.get(tensor.data_type)
            if dtype is None:
                raise GraphError(
                    f"{self.name}: initializer {tensor.name} has ONNX type {tensor.data_type}, unknown here"
                )
            parameter = Parameter(tensor.name, tuple(tensor.dims), dtype, tensor.name, dtype)
            shape = parameter.shape
            while parameter.result_name not in outputs and len(users[parameter.result_name]) == 1:
                node = users[parameter.result_name][0]
                if node.domain not in ("", "ai.onnx") or len(node.input) != 1:
                    break
                if node.op_type == "Transpose":
                    permutation = _ints(node, "perm") or tuple(reversed(range(len(shape))))
                    shape = tuple(shape[axis] for axis in permutation)
                    parameter.permutations.append(permutation)
                elif node.op_type == "Cast" and _int(node, "to") in DTYPES:
                    parameter.result_dtype = DTYPES[_int(node, "to")]
                elif node.op_type != "Identity":
                    break
                parameter.result_name = node.output[0]
                folded.add(id(node))
            tensor.name = parameter.result_name
            tensor.data_type = _ONNX_TYPES[parameter.result_dtype]
            tensor.dims[:] = shape
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value="weights")
            parameters.append(parameter)
        kept = [node for node in graph.node if id(node) not in folded]
        if folded:
            rest = [node.SerializeToString() for node in kept]
            del graph.node[:]
            for data in rest:
                graph.node.add().MergeFromString(data)
        return parameters

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


def _ints(node: Any, name: str) -> tuple[int, ...]:
    return next((tuple(a.ints) for a in node.attribute if a.name == name), ())


def _int(node: Any, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)


def identity_graph() -> bytes:
    """The smallest model there is, y = x for one float: what a provider must be able to start."""
    model = _Model(ir_version=8)
    model.opset_import.add(version=17)
    model.graph.node.add(op_type="Identity", input=["x"], output=["y"])
    for value, name in ((model.graph.input.add(), "x"), (model.graph.output.add(), "y")):
        value.name = name
        value.type.tensor_type.elem_type = _ONNX_TYPES[np.dtype(np.float32)]
        value.type.tensor_type.shape.dim.add(dim_value=1)
    data: bytes = model.SerializeToString()
    return data
