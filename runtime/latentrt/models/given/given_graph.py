"""What an ONNX file says of itself: ports, operators, types, and how wide it is where its ports leave that open."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latentrt.models.given.onnx_file import data_files, read_graph
from latentrt.networks import Compute, Graph, Value
from latentrt.networks.proto import DTYPES

# What hands on the values that it is given, be it in another order.
_PASSING = frozenset(
    {"Cast", "Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "DequantizeLinear"}
)
# Those of them after which a weight still has the axes that it was stored with.
_KEEPING = frozenset({"Cast", "Identity", "Transpose", "DequantizeLinear"})
_ENLARGING = ("Resize", "Upsample")


@dataclass(frozen=True)
class GivenGraph:
    """One ONNX file.

    Attributes:
        file: where it is.
        data: the files beside it that hold its weights.
        inputs: by name; a free dimension has a name, perhaps an empty one.
        outputs: likewise.
        unranked: the inputs and outputs of which not even the rank is said.
        operators: how often each (domain, operator) occurs, in functions and inner graphs too; "" for ONNX's own.
        opsets: versions by domain.
        ir_version: of the format.
        producer: the program that wrote it.
        weights: how many values of each type there are, the types as numpy names them.
        widths: how many features it takes at an input, or gives at an output, by the weights that stand there: the
            channels of a convolution, the rows of a product, the tokens of an embedding.
        embeds: the width of the rows that token ids are looked up in.
    """

    file: Path
    data: tuple[Path, ...]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    unranked: frozenset[str]
    operators: Mapping[tuple[str, str], int]
    opsets: Mapping[str, int]
    ir_version: int
    producer: str
    weights: Mapping[str, int]
    widths: Mapping[str, int]
    embeds: int | None

    @property
    def num_bytes(self) -> int:
        """Of the file and those beside it."""
        return sum(file.stat().st_size for file in (self.file, *self.data))

    @property
    def num_parameters(self) -> int:
        """Values of its weights."""
        return sum(self.weights.values())

    @property
    def precision(self) -> Compute:
        """What it computes in: the type of most of its floating-point weights."""
        return "fp16" if self.weights.get("float16", 0) > self.weights.get("float32", 0) else "fp32"

    @property
    def enlargements(self) -> int:
        """How often it doubles a picture's sides."""
        return sum(self.operators.get(("", name), 0) for name in _ENLARGING)

    def width(self, name: str, axis: int) -> int | None:
        """The size of an axis of a port, where the port or the weights behind it say one."""
        value = self.inputs.get(name) or self.outputs.get(name)
        size = value.shape[axis] if value is not None and axis < len(value.shape) else ""
        return size if isinstance(size, int) else self.widths.get(name)


def read_given_graph(path: Path) -> GivenGraph:
    """Read an ONNX file; of its weights only their shapes.

    Raises:
        GraphError: it is none, or its weights are not whole.
        ModelError: its weights lie outside of its folder.
    """
    graph = read_graph(path)
    data = data_files(graph, path.parent)
    model = graph.proto
    weights: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        dtype = DTYPES.get(tensor.data_type)
        weights["other" if dtype is None else dtype.name] += math.prod(tensor.dims)
    links = _Links(model.graph)
    widths = {name: width for name in graph.inputs if (width := links.taken(name)) is not None}
    widths |= {name: width for name in graph.outputs if (width := links.given(name)) is not None}
    embeds = next((found for name in graph.inputs if (found := links.embedding(name)) is not None), None)
    return GivenGraph(
        file=path,
        data=data,
        inputs={name: _free(value) for name, value in graph.inputs.items()},
        outputs={name: _free(value) for name, value in graph.outputs.items()},
        unranked=frozenset(
            value.name
            for value in (*model.graph.input, *model.graph.output)
            if not value.type.tensor_type.HasField("shape")
        ),
        operators=_operators(graph),
        opsets={_domain(entry.domain): entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        producer=model.producer_name,
        weights=weights,
        widths=widths,
        embeds=embeds,
    )


def _free(value: Value) -> Value:
    """The value with dimensions below 1, by which some programs mean a free one, as free."""
    return replace(
        value, shape=tuple("" if isinstance(size, int) and size < 1 else size for size in value.shape)
    )


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _operators(graph: Graph) -> Counter[tuple[str, str]]:
    model = graph.proto
    own = {(_domain(function.domain), function.name) for function in model.functions}
    nodes = [*_nodes(model.graph.node), *(n for f in model.functions for n in _nodes(f.node))]
    found = Counter((_domain(node.domain), node.op_type) for node in nodes)
    return Counter({key: count for key, count in found.items() if key not in own})


def _nodes(nodes: Any) -> Iterator[Any]:
    """Nodes, and those of the graphs inside of them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(inner.node)


class _Links:
    """Who takes and who makes each value of a graph."""

    def __init__(self, graph: Any) -> None:
        self._shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self._takers: dict[str, list[Any]] = defaultdict(list)
        self._makers: dict[str, Any] = {}
        for node in graph.node:
            for name in node.input:
                self._takers[name].append(node)
            for name in node.output:
                self._makers[name] = node
            if node.op_type == "Constant" and node.attribute:
                self._shapes[node.output[0]] = tuple(node.attribute[0].t.dims)

    def taken(self, name: str) -> int | None:
        """Features that the weights behind an input take."""
        for node, value in self._reached(name):
            places = list(node.input)
            index = places.index(value)
            shape = self._shape(places[1]) if index == 0 and len(places) > 1 else None
            if node.op_type in ("Conv", "FusedConv") and shape is not None and len(shape) > 1:
                return shape[1]
            if node.op_type == "NhwcConv" and shape is not None and len(shape) > 1:
                return shape[-1]
            if node.op_type == "MatMul" and shape is not None and len(shape) == 2:
                return shape[0]
            if node.op_type == "Gemm" and shape is not None and len(shape) == 2:
                return shape[1 if _number(node, "transB") else 0]
            if node.op_type == "Gather" and index == 1 and (table := self._shape(places[0])) is not None:
                return table[0] if len(table) == 2 else None
        return None

    def embedding(self, name: str) -> int | None:
        """Width of the table that an input is looked up in."""
        for node, value in self._reached(name):
            if node.op_type == "Gather" and len(node.input) > 1 and node.input[1] == value:
                table = self._shape(node.input[0])
                return table[1] if table is not None and len(table) == 2 else None
        return None

    def given(self, name: str) -> int | None:
        """Features that the convolution or product before an output gives."""
        node = self._makers.get(name)
        for _ in range(len(self._makers)):
            if node is None or node.op_type not in _PASSING or not node.input:
                break
            node = self._makers.get(node.input[0])
        shape = self._shape(node.input[1]) if node is not None and len(node.input) > 1 else None
        if node is None or not shape:
            return None
        if node.op_type in ("Conv", "FusedConv", "NhwcConv"):
            return shape[0]
        if node.op_type in ("MatMul", "Gemm") and len(shape) == 2:
            return shape[0 if node.op_type == "Gemm" and _number(node, "transB") else 1]
        return None

    def _reached(self, name: str) -> Iterator[tuple[Any, str]]:
        """Nodes that take a value as it is, and under which name."""
        seen, waiting = {name}, [name]
        while waiting:
            value = waiting.pop(0)
            for node in self._takers[value]:
                if node.op_type in _PASSING and node.input and node.input[0] == value:
                    new = [made for made in node.output if made not in seen]
                    seen.update(new)
                    waiting += new
                else:
                    yield node, value

    def _shape(self, name: str) -> tuple[int, ...] | None:
        """Of a weight, also of one that is cast or transposed first."""
        orders = []
        for _ in range(len(self._makers)):
            if name in self._shapes:
                break
            node = self._makers.get(name)
            if node is None or node.op_type not in _KEEPING or not node.input:
                return None
            if node.op_type == "Transpose":
                orders.append(next((list(a.ints) for a in node.attribute if a.name == "perm"), []))
            name = node.input[0]
        shape = self._shapes.get(name)
        for order in reversed(orders):
            if shape is not None:
                axes = order or list(reversed(range(len(shape))))
                whole = sorted(axes) == list(range(len(shape)))
                shape = tuple(shape[axis] for axis in axes) if whole else None
        return shape


def _number(node: Any, name: str) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)
