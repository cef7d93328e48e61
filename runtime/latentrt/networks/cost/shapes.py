"""The shape of every value in a graph, for given shapes of its inputs, without running it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentrt.errors import GraphError, InputError
from latentrt.networks.cost.operators import CONTRIBUTED, RULES
from latentrt.networks.cost.tensors import MAX_KNOWN, Array, Node, Tensor, attributes, constant, ghost
from latentrt.networks.emitter import CONTRIB
from latentrt.networks.graph import Graph

_RULES = {"": RULES, "ai.onnx": RULES, CONTRIB: CONTRIBUTED}


@dataclass(frozen=True)
class Inference:
    """Every value by name, every node in the graph's order."""

    tensors: Mapping[str, Tensor]
    nodes: Sequence[Node]


def infer(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Inference:
    """Follow shapes from the inputs through the graph.

    Args:
        graph: without control flow (If, Loop, Scan).
        shapes: of the inputs; those that the graph itself fixes may be left out.

    Raises:
        InputError: an input is missing, unknown, or of a shape that the graph does not take.
        GraphError: an operator is unknown here, or a shape depends on the data of an input.
    """
    proto = graph.proto.graph
    opset = max((o.version for o in graph.proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    tensors = {tensor.name: constant(graph.name, tensor) for tensor in proto.initializer}
    tensors |= _inputs(graph, shapes)
    nodes = []
    for item in proto.node:
        label = f"{graph.name}: {item.op_type} {item.output[0]}"
        rule = _RULES.get(item.domain, {}).get(item.op_type)
        if rule is None:
            domain = f" of {item.domain}" if item.domain else ""
            raise GraphError(
                f"{label}: operator {item.op_type}{domain} is not known here; its shapes and cost cannot be told"
            )
        if missing := [name for name in item.input if name and name not in tensors]:
            raise GraphError(f"{label}: its input {missing[0]} is made by no node before it")
        node = Node(
            label,
            item.op_type,
            list(item.input),
            [tensors[name] if name else None for name in item.input],
            list(item.output),
            attributes(label, item),
            opset,
        )
        try:
            results = rule(node)
        except (ValueError, IndexError, KeyError) as error:
            came = ", ".join(str(t.shape) if t is not None else "-" for t in node.inputs)
            raise GraphError(f"{label}: inputs {came} do not fit together ({error!r})") from error
        for name, result in zip(item.output, results, strict=False):
            tensors[name] = _settle(result, node.is_constant)
        if unmade := [name for name in item.output[len(results) :] if name]:
            raise GraphError(f"{label}: the shape of its output {unmade[0]} is not known here")
        nodes.append(node)
    return Inference(tensors, nodes)


def _settle(result: Tensor | Array, is_constant: bool) -> Tensor:
    """What a rule gave: an array is a ghost, a tensor holds data. Large data are forgotten."""
    if not isinstance(result, Tensor):
        return Tensor(result, is_constant=is_constant)
    if result.array.size > MAX_KNOWN:
        return Tensor(ghost(result.shape, result.array.dtype), is_constant=is_constant)
    return Tensor(result.array, is_known=True, is_constant=is_constant)


def _inputs(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    if unknown := set(shapes) - set(graph.inputs):
        raise InputError(
            f"{graph.name}: no such input: {', '.join(sorted(unknown))}; has {', '.join(graph.inputs)}"
        )
    tensors: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}
    for name, value in graph.inputs.items():
        if name in shapes:
            shape = shapes[name]
        elif all(isinstance(size, int) for size in value.shape):
            shape = tuple(int(size) for size in value.shape)
        else:
            raise InputError(f"{graph.name}: the shape of input {name} {value.shape} is missing")
        known = f" where {sizes}" if sizes else ""
        fits = len(shape) == len(value.shape)
        for wanted, got in zip(value.shape, shape, strict=False):
            # a free dimension has one size wherever its name stands; one without a name may have any
            expected = (
                (sizes.setdefault(wanted, got) if wanted else got) if isinstance(wanted, str) else wanted
            )
            fits = fits and expected == got and got >= 0
        if not fits:
            raise InputError(f"{graph.name}.{name}: expected {value.shape}{known}, got {tuple(shape)}")
        if value.dtype is None:
            raise GraphError(f"{graph.name}.{name}: has a type that is unknown here")
        tensors[name] = Tensor(ghost(shape, value.dtype))
    return tensors
