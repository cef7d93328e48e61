"""Writes one ONNX graph, node by node, with every parameter an external initializer."""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

Compute = Literal["fp16", "fp32"]
Dim = int | str

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # what opset 20 came with; onnxruntime 1.17 and later read it
PRODUCER = "latentrt"
WEIGHTS_LOCATION = "weights"  # where a weight-free graph says that its parameters lie


class Emitter:
    """Collects nodes in order, then gives the model.

    Values are strings, as in ONNX. A value is called after the module that makes it, so that a profile
    of ONNX Runtime reads like the checkpoint: `down_blocks.0.resnets.0/Conv`.
    """

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.float_type = TensorProto.FLOAT16 if compute == "fp16" else TensorProto.FLOAT
        self._numpy_float = np.dtype(np.float16 if compute == "fp16" else np.float32)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._params: dict[str, str] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._renamed: dict[str, str] = {}
        self._names: dict[str, int] = {}
        self._scope: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Everything made inside belongs to the submodule `name`: values and parameters bear its path."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    def input(self, name: str, dims: Sequence[Dim], elem_type: int | None = None) -> str:
        """A graph input, of the compute type if none is given."""
        self._names[name] = 1
        kind = self.float_type if elem_type is None else elem_type
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(dims)))
        return name

    def output(self, name: str, value: str, dims: Sequence[Dim]) -> None:
        """Make `value` a graph output under `name`; it is of the compute type."""
        self._renamed[value] = name
        self._outputs.append(helper.make_tensor_value_info(name, self.float_type, list(dims)))

    def op(self, op_type: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output; return it."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def ops(self, op_type: str, count: int, *inputs: str, **attributes: object) -> list[str]:
        """Add a node with `count` outputs; return them."""
        outputs = [self._unique(op_type) for _ in range(count)]
        node = helper.make_node(op_type, list(inputs), outputs, name=outputs[0], **attributes)
        self._nodes.append(node)
        return outputs

    def param(self, name: str, *shape: int) -> str:
        """A parameter of the current module, in the compute type. `shape` is the checkpoint's."""
        full = ".".join([*self._scope, name])
        if full not in self._params:
            tensor = TensorProto(name=full, data_type=TensorProto.FLOAT16, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=WEIGHTS_LOCATION)
            self._initializers[full] = tensor
            used = full
            if self.compute == "fp32":
                used = f"{full}/fp32"
                self._nodes.append(helper.make_node("Cast", [full], [used], name=used, to=TensorProto.FLOAT))
            self._params[full] = used
        return self._params[full]

    def ints(self, *values: int) -> str:
        """An int64 vector, inline."""
        name = f"ints({','.join(map(str, values))})"
        raw = struct.pack(f"<{len(values)}q", *values)
        return self._constant(name, TensorProto.INT64, (len(values),), raw)

    def int_scalar(self, value: int) -> str:
        """An int64 scalar, inline."""
        return self._constant(f"int({value})", TensorProto.INT64, (), struct.pack("<q", value))

    def scalar(self, value: float) -> str:
        """A scalar of the compute type, inline."""
        raw = np.asarray(value, self._numpy_float).tobytes()
        return self._constant(f"float({value!r})", self.float_type, (), raw)

    def fill(self, count: int, value: float) -> str:
        """A vector of the compute type that repeats one value, inline."""
        raw = np.full(count, value, self._numpy_float).tobytes()
        return self._constant(f"float({value!r})x{count}", self.float_type, (count,), raw)

    def floats32(self, name: str, values: Sequence[float]) -> str:
        """A float32 vector in either graph, inline."""
        raw = np.asarray(values, np.float32).tobytes()
        return self._constant(name, TensorProto.FLOAT, (len(values),), raw)

    def cast(self, value: str, elem_type: int) -> str:
        """Add a Cast."""
        return self.op("Cast", value, to=elem_type)

    def model(self, name: str) -> onnx.ModelProto:
        """The whole model; the same calls give the same bytes."""
        for node in self._nodes:
            for field in (node.input, node.output):
                field[:] = [self._renamed.get(value, value) for value in field]
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _constant(self, name: str, elem_type: int, dims: Sequence[int], raw: bytes) -> str:
        if name not in self._initializers:
            tensor = TensorProto(name=name, data_type=elem_type, dims=dims, raw_data=raw)
            self._initializers[name] = tensor
        return name

    def _unique(self, op_type: str) -> str:
        base = f"{'.'.join(self._scope)}/{op_type}"
        count = self._names.get(base, 0)
        self._names[base] = count + 1
        return base if count == 0 else f"{base}_{count}"
