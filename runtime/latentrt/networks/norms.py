"""Group norms whose statistics are those of a whole picture, where a network sees it one tile at a time.

A group norm takes mean and deviation over all pixels; over a tile they differ, and with them the colours, tile by tile.
So the graph is rewritten twice: to tell each norm's moments on a tile, and to take those of the whole
picture from outside. The graph format writes every group norm as `InstanceNormalization` over (batch, groups, rest).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.networks.graph import DTYPES, Graph, Value

Array = npt.NDArray[Any]

_NORM = "InstanceNormalization"
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_ATTRIBUTE_INT = 2  # AttributeProto.type
_LAST_AXIS, _ROW, _COLUMN = "norm.last_axis", "norm.row_axis", "norm.column_axis"


def tell_moments(graph: Graph) -> list[float]:
    """Add outputs for each norm i and return the norms' epsilons.

    `norm.i.mean`, float32 (1, groups, 1); `norm.i.product`, x·x, float32 (1, groups, 1, 1); `norm.i.shape`, int64,
    (batch, groups, rest).
    """
    nodes: list[Any] = []
    epsilons: list[float] = []
    body = graph.proto.graph
    for node in body.node:
        if node.op_type != _NORM:
            nodes.append(node)
            continue
        index, groups = len(epsilons), _groups(graph, node)
        wide = node.input[0]
        if _compute_type(graph) != np.float32:
            wide = f"norm.{index}.float32"
            cast = _node(body, "Cast", [node.input[0]], wide)
            cast.attribute.add(name="to", i=_FLOAT, type=_ATTRIBUTE_INT)
            nodes.append(cast)
        nodes.append(_node(body, "ReduceMean", [wide, _LAST_AXIS], f"norm.{index}.mean"))
        # x·x as a product of matrices: it needs no memory for the squares.
        row, column = f"norm.{index}.row", f"norm.{index}.column"
        nodes.append(_node(body, "Unsqueeze", [wide, _ROW], row))
        nodes.append(_node(body, "Unsqueeze", [wide, _COLUMN], column))
        nodes.append(_node(body, "MatMul", [row, column], f"norm.{index}.product"))
        _declare(body.output.add(), graph.outputs, f"norm.{index}.mean", _FLOAT, (1, groups, 1))
        _declare(body.output.add(), graph.outputs, f"norm.{index}.product", _FLOAT, (1, groups, 1, 1))
        size = _node(body, "Shape", [node.input[0]], f"norm.{index}.shape")
        nodes.append(size)
        _declare(body.output.add(), graph.outputs, f"norm.{index}.shape", _INT64, (3,))
        nodes.append(node)
        epsilons.append(_epsilon(node))
    if epsilons:
        for name, axis in ((_LAST_AXIS, -1), (_ROW, 2), (_COLUMN, 3)):
            raw = np.array([axis], np.int64).tobytes()
            body.initializer.add(name=name, data_type=_INT64, dims=[1], raw_data=raw)
        _replace(body, nodes)
    return epsilons


def take_moments(graph: Graph) -> None:
    """Make each norm x → (x - `whole.i.mean`) · `whole.i.scale`, both inputs (1, groups, 1) of the graph's type."""
    nodes, index = [], 0
    body = graph.proto.graph
    kind = next(number for number, dtype in DTYPES.items() if dtype == _compute_type(graph))
    for node in body.node:
        if node.op_type != _NORM:
            nodes.append(node)
            continue
        mean, scale, groups = f"whole.{index}.mean", f"whole.{index}.scale", _groups(graph, node)
        for name in (mean, scale):
            _declare(body.input.add(), graph.inputs, name, kind, (1, groups, 1))
        nodes.append(_node(body, "Sub", [node.input[0], mean], f"norm.{index}.centred"))
        nodes.append(_node(body, "Mul", [f"norm.{index}.centred", scale], node.output[0]))
        index += 1
    _replace(body, nodes)


def combine(
    told: Iterable[Mapping[str, Array]], shares: Sequence[float], epsilons: Sequence[float]
) -> dict[str, Array]:
    """What `take_moments` wants of a whole picture, from what `tell_moments` gave for its tiles.

    Args:
        told: the outputs of each tile.
        shares: how much of the picture each tile stands for; they add up to 1.
        epsilons: of each norm.
    """
    sums: dict[str, Array] = {}
    for outputs, share in zip(told, shares, strict=True):
        for index in range(len(epsilons)):
            mean, product = (outputs[f"norm.{index}.{of}"].astype(np.float64) for of in ("mean", "product"))
            square = product[..., 0] / outputs[f"norm.{index}.shape"][-1]
            for name, value in ((f"norm.{index}.mean", mean), (f"norm.{index}.square", square)):
                sums[name] = sums.get(name, 0) + share * value
    feeds = {}
    for index, epsilon in enumerate(epsilons):
        mean = sums[f"norm.{index}.mean"]
        variance = np.maximum(sums[f"norm.{index}.square"] - mean**2, 0)
        feeds[f"whole.{index}.mean"] = mean
        feeds[f"whole.{index}.scale"] = 1 / np.sqrt(variance + epsilon)
    return feeds


def _node(body: Any, operator: str, inputs: Sequence[str], output: str) -> Any:
    """A node that is not yet in its place."""
    node = type(body)().node.add(op_type=operator)
    node.input.extend(inputs)
    node.output.append(output)
    return node


def _replace(body: Any, nodes: list[Any]) -> None:
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del body.node[:]
    body.node.extend(copies)


def _declare(value: Any, known: dict[str, Value], name: str, kind: int, shape: tuple[int, ...]) -> None:
    value.name = name
    value.type.tensor_type.elem_type = kind
    for size in shape:
        value.type.tensor_type.shape.dim.add(dim_value=size)
    known[name] = Value(name, DTYPES[kind], shape)


def _groups(graph: Graph, node: Any) -> int:
    scale = next(t for t in graph.proto.graph.initializer if t.name == node.input[1])
    return int(scale.dims[0])


def _epsilon(node: Any) -> float:
    return next((float(a.f) for a in node.attribute if a.name == "epsilon"), 1e-5)  # ONNX's default


def _compute_type(graph: Graph) -> Any:
    return next(iter(graph.outputs.values())).dtype
