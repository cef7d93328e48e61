"""Group norms whose statistics are those of a whole picture, where a network sees it one tile at a time.

A group norm takes mean and deviation over all pixels; over a tile they differ, and with them the colours, tile by tile.
So the graph is rewritten twice: to tell each norm's moments on a tile, and to take those of the whole
picture from outside. The graph format writes every group norm as `InstanceNormalization` over (batch, groups, rest).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.graph import DTYPES, Graph, Value

Array = npt.NDArray[Any]

_NORM = "InstanceNormalization"
_FLOAT = 1  # TensorProto.FLOAT
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT = 1, 2  # AttributeProto.type
_LAST_AXIS = "norm.axes"


def tell_moments(graph: Graph) -> list[float]:
    """Add outputs `norm.i.mean` and `norm.i.square`, float32 (1, groups, 1), of each norm; return their epsilons."""
    nodes: list[Any] = []
    epsilons: list[float] = []
    body = graph.proto.graph
    for node in body.node:
        nodes.append(node)
        if node.op_type != _NORM:
            continue
        index, groups = len(epsilons), _groups(graph, node)
        wide = f"norm.{index}.float32"
        cast = _node(body, "Cast", [node.input[0]], wide)
        cast.attribute.add(name="to", i=_FLOAT, type=_ATTRIBUTE_INT)
        square = _node(body, "Mul", [wide, wide], f"{wide}.squared")
        nodes += [cast, square]
        for source, output in ((wide, f"norm.{index}.mean"), (f"{wide}.squared", f"norm.{index}.square")):
            nodes.append(_node(body, "ReduceMean", [source, _LAST_AXIS], output))
            _declare(body.output.add(), graph.outputs, output, _FLOAT, groups)
        epsilons.append(_epsilon(node))
    if epsilons:
        raw = np.array([-1], np.int64).tobytes()
        body.initializer.add(name=_LAST_AXIS, data_type=7, dims=[1], raw_data=raw)
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
            _declare(body.input.add(), graph.inputs, name, kind, groups)
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
        for name, value in outputs.items():
            sums[name] = sums.get(name, 0) + share * value.astype(np.float64)
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


def _declare(value: Any, known: dict[str, Value], name: str, kind: int, groups: int) -> None:
    value.name = name
    value.type.tensor_type.elem_type = kind
    for size in (1, groups, 1):
        value.type.tensor_type.shape.dim.add(dim_value=size)
    known[name] = Value(name, DTYPES[kind], (1, groups, 1))


def _groups(graph: Graph, node: Any) -> int:
    scale = next(t for t in graph.proto.graph.initializer if t.name == node.input[1])
    return int(scale.dims[0])


def _epsilon(node: Any) -> float:
    return next((float(a.f) for a in node.attribute if a.name == "epsilon"), 1e-5)  # ONNX's default


def _compute_type(graph: Graph) -> Any:
    return next(iter(graph.outputs.values())).dtype
