"""Writes one ONNX graph, node by node, with every parameter an external initializer."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from latentrt.networks.graph import Graph, Matrix, Quantized
from latentrt.networks.proto import (
    EXTERNAL,
    FLOAT,
    FLOAT16,
    INT,
    INT8,
    INT64,
    INTS,
    STRING,
    UINT8,
    ModelProto,
)
from latentrt.networks.variant import Variant

Dim: TypeAlias = int | str
Attribute: TypeAlias = int | float | str | Sequence[int]

OPSET = 20  # the first with Gelu
CONTRIB = "com.microsoft"  # the domain of ONNX Runtime's own operators
IR_VERSION = 9  # what opset 20 came with; onnxruntime 1.17 and later read it
PRODUCER = "latentrt"
WEIGHTS_LOCATION = "weights"  # where a weight-free graph says that its parameters lie


class Emitter:
    """Collects nodes in order, then gives the graph; the same calls give the same bytes.

    Values are strings, as in ONNX. A value is called after the module that makes it, so that a profile
    of ONNX Runtime reads like the checkpoint: `down_blocks.0.resnets.0/Conv`.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.is_half = variant.compute == "fp16"
        self.float_type = FLOAT16 if self.is_half else FLOAT
        self._casts_parameters = variant.any_weights or not self.is_half
        self._numpy_float = np.dtype(np.float16 if self.is_half else np.float32)
        self._model = ModelProto(ir_version=IR_VERSION, producer_name=PRODUCER)
        self._model.opset_import.add(domain="", version=OPSET)
        self._graph = self._model.graph
        self._nodes: list[tuple[str, Sequence[str], list[str], dict[str, Attribute]]] = []
        self._contributed: set[str] = set()  # operators that are ONNX Runtime's own
        self.channels_last = variant.compute == "int8"
        self.in_integers: dict[
            str, tuple[str, str, str]
        ] = {}  # value -> it in uint8, its scale and zero point
        self.uneven: set[str] = set()  # values whose rows are of very different sizes
        self.joined: dict[
            str, tuple[tuple[str, int], ...]
        ] = {}  # picture -> those that it is of, with channels
        self._put_off: dict[str, tuple[str, Callable[[str], str]]] = {}
        self._moved: dict[str, str] = {}  # what was put off -> what it became
        self._quantized: dict[str, Quantized] = {}
        self._initialized: set[str] = set()
        self._params: dict[str, str] = {}
        self._inputs: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._scope: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Everything made inside belongs to the submodule `name`: values and parameters bear its path."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    @property
    def path(self) -> str:
        """The current module's."""
        return ".".join(self._scope)

    def input(self, name: str, dims: Sequence[Dim], elem_type: int | None = None) -> str:
        """A graph input, of the compute type if none is given."""
        self._inputs.add(name)
        self._counts[name] = 1
        _declare(self._graph.input.add(), name, self.float_type if elem_type is None else elem_type, dims)
        return name

    def output(self, name: str, value: str, dims: Sequence[Dim], elem_type: int | None = None) -> None:
        """Make `value` a graph output under `name`, of the compute type if none is given."""
        value = self._now(value)
        if value in self._renamed or value in self._inputs or value in self._initialized:
            value = self.op("Identity", value)  # it has a name already that must stay
        self._renamed[value] = name
        _declare(self._graph.output.add(), name, self.float_type if elem_type is None else elem_type, dims)

    def op(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output; return it."""
        return self.ops(op_type, 1, *inputs, **attributes)[0]

    def later(self, value: str, move: Callable[[str], str]) -> str:
        """What `move` makes of a value, another order of its elements; channels-last, made where a node takes it.

        What acts on each element alone may be done before, on the value as it lies: see `put_off`.
        """
        if not self.channels_last:
            return move(value)
        name = self._unique("Moved")
        self._put_off[name] = value, move
        return name

    def put_off(self, value: str) -> tuple[str, Callable[[str], str]] | None:
        """What a value is to be made of, and how, if it was put off."""
        return self._put_off.get(value)

    def contrib(self, op_type: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node of an operator that ONNX Runtime has and ONNX has not; return its output."""
        self._contributed.add(op_type)
        return self.op(op_type, *inputs, **attributes)

    def ops(self, op_type: str, count: int, *inputs: str, **attributes: Attribute) -> list[str]:
        """Add a node with `count` outputs; return them."""
        inputs = tuple(self._now(value) for value in inputs)
        outputs = [self._unique(op_type) for _ in range(count)]
        self._nodes.append((op_type, inputs, outputs, attributes))
        return outputs

    def param(self, name: str, *shape: int) -> str:
        """A parameter of the current module, in the compute type. `shape` is the checkpoint's."""
        full = ".".join([*self._scope, name])
        if full not in self._params:
            tensor = self._initializer(full, FLOAT16, shape)
            tensor.data_location = EXTERNAL
            tensor.external_data.add(key="location", value=WEIGHTS_LOCATION)
            used = full
            if self._casts_parameters:
                used = f"{full}/{'fp16' if self.is_half else 'fp32'}"
                self._nodes.append(("Cast", (full,), [used], {"to": self.float_type}))
            self._params[full] = used
        return self._params[full]

    def quantized(self, name: str, quantized: Quantized) -> list[Matrix]:
        """A weight of the current module, in integers."""
        full = ".".join([*self._scope, name])
        self._quantized[full] = quantized
        matrices = quantized.matrices(full)
        for matrix in matrices:
            for made, elem_type, dims in (
                (matrix.weight, INT8, matrix.shape),
                (matrix.scale, FLOAT, matrix.shape[1:]),
            ):
                tensor = self._initializer(made, elem_type, dims)
                tensor.data_location = EXTERNAL
                tensor.external_data.add(key="location", value=WEIGHTS_LOCATION)
        return matrices

    def ints(self, *values: int) -> str:
        """An int64 vector, inline."""
        return self._constant(f"ints({','.join(map(str, values))})", INT64, np.array(values, "<i8"))

    def int_scalar(self, value: int) -> str:
        """An int64 scalar, inline."""
        return self._constant(f"int({value})", INT64, np.array(value, "<i8"))

    def byte(self, value: int) -> str:
        """A uint8 scalar, inline."""
        return self._constant(f"byte({value})", UINT8, np.array(value, np.uint8))

    def scalar(self, value: float) -> str:
        """A scalar of the compute type, inline."""
        return self._constant(f"float({value!r})", self.float_type, np.array(value, self._numpy_float))

    def fill(self, count: int, value: float) -> str:
        """A vector of the compute type that repeats one value, inline."""
        array = np.full(count, value, self._numpy_float)
        return self._constant(f"float({value!r})x{count}", self.float_type, array)

    def floats32(self, name: str, values: Sequence[float]) -> str:
        """A float32 vector whatever the graph computes in, inline."""
        return self._constant(name, FLOAT, np.array(values, np.float32))

    def cast(self, value: str, elem_type: int) -> str:
        """Add a Cast."""
        return self.op("Cast", value, to=elem_type)

    def finish(self, name: str) -> Graph:
        """The whole graph; the emitter is spent."""
        renamed = self._renamed
        if self._contributed:
            self._model.opset_import.add(domain=CONTRIB, version=1)
        for op_type, inputs, outputs, attributes in self._nodes:
            node = self._graph.node.add(
                op_type=op_type,
                input=[renamed.get(value, value) for value in inputs],
                output=[renamed.get(value, value) for value in outputs],
                name=outputs[0],
            )
            if op_type in self._contributed:
                node.domain = CONTRIB
            for key in sorted(attributes):
                _fill(node.attribute.add(name=key), attributes[key])
        self._graph.name = name
        return Graph(self._model, f"{name} in {self.variant.compute}", self._quantized)

    def _now(self, value: str) -> str:
        if value in self._put_off and value not in self._moved:
            source, move = self._put_off[value]
            self._moved[value] = move(source)
        return self._moved.get(value, value)

    def _initializer(self, name: str, elem_type: int, dims: Sequence[int]) -> Any:
        self._initialized.add(name)
        return self._graph.initializer.add(name=name, data_type=elem_type, dims=dims)

    def _constant(self, name: str, elem_type: int, array: np.ndarray[Any, Any]) -> str:
        if name not in self._initialized:
            self._initializer(name, elem_type, array.shape).raw_data = array.tobytes()
        return name

    def _unique(self, op_type: str) -> str:
        base = f"{self.path}/{op_type}"
        count = self._counts.get(base, 0)
        self._counts[base] = count + 1
        return base if count == 0 else f"{base}_{count}"


def _declare(value: Any, name: str, elem_type: int, dims: Sequence[Dim]) -> None:
    value.name = name
    kind = value.type.tensor_type
    kind.elem_type = elem_type
    kind.shape.SetInParent()  # a scalar has a shape too, without axes
    for dim in dims:
        kind.shape.dim.add(**{"dim_value" if isinstance(dim, int) else "dim_param": dim})


def _fill(attribute: Any, value: Attribute) -> None:
    if isinstance(value, int):
        attribute.type, attribute.i = INT, value
    elif isinstance(value, float):
        attribute.type, attribute.f = 1, value
    elif isinstance(value, str):
        attribute.type, attribute.s = STRING, value.encode()
    else:
        attribute.type = INTS
        attribute.ints.extend(value)
