"""Weights as they are stored: half as wide as fp32 compute wants them, and (out, in) where MatMul wants (in, out).

ONNX Runtime widens and transposes such weights when a session is made, and then re-orders what comes of that for its
kernels: for a while a network's weights are there twice, and what was freed is not given back. Its own FusedMatMul
re-orders them out of the form in which they are stored; and of a table of embeddings the rows that are read are enough.
"""

from typing import Any

from latentrt.networks import Graph
from latentrt.networks.emitter import CONTRIB
from latentrt.networks.proto import EXTERNAL, INT, ONNX_TYPES

_FLOAT8 = frozenset(
    number for name, number in ONNX_TYPES.items() if name.startswith("F8_")
)  # Gather takes none
_OPERATOR = "FusedMatMul"


def take_as_stored(graph: Graph) -> None:
    """Let products take weights without a transposition, and tables be read before they are widened."""
    nodes = graph.proto.graph.node
    external = [t for t in graph.proto.graph.initializer if t.data_location == EXTERNAL]
    stored = {tensor.name for tensor in external if len(tensor.dims) == 2}
    eighths = {tensor.name for tensor in external if tensor.data_type in _FLOAT8}
    casts = {n.output[0]: n for n in nodes if n.op_type == "Cast" and n.input[0] in stored}
    _swap_gathers(graph, {name: cast for name, cast in casts.items() if cast.input[0] not in eighths})
    scaled = {n.output[0] for n in nodes if n.op_type == "Mul" and n.input[0] in casts}  # of float8
    matrices = stored | casts.keys() | scaled
    transposes = {n.output[0]: n.input[0] for n in nodes if _transposes(n) and n.input[0] in matrices}
    for node in nodes:
        if node.op_type == "MatMul" and not node.domain and node.input[1] in transposes:
            node.op_type, node.domain = _OPERATOR, CONTRIB
            node.input[1] = transposes[node.input[1]]
            node.attribute.add(name="transB", type=INT, i=1)
    # ONNX Runtime would fold a Transpose that nothing reads any more, and then drop what comes of it.
    read = {name for node in nodes for name in node.input} | graph.outputs.keys()
    for index in reversed(range(len(nodes))):
        if nodes[index].op_type == "Transpose" and nodes[index].output[0] in transposes.keys() - read:
            del nodes[index]
    if transposes and CONTRIB not in {opset.domain for opset in graph.proto.opset_import}:
        graph.proto.opset_import.add(domain=CONTRIB, version=1)


def _swap_gathers(graph: Graph, casts: dict[str, Any]) -> None:
    """Cast, then Gather becomes Gather, then Cast, where nothing else reads what was cast."""
    body = graph.proto.graph
    readers: dict[str, list[Any]] = {name: [] for name in [*casts, *(o.name for o in body.output)]}
    for node in body.node:
        for name in node.input:
            if name in readers:
                readers[name].append(node)
    for name, cast in list(casts.items()):
        if name in graph.outputs or [n.op_type for n in readers[name]] != ["Gather"]:
            continue
        (gather,) = readers[name]
        if gather.domain or gather.input[0] != name:
            continue
        # The nodes stay where they are in the list, and trade what they do: the Cast stands before the Gather.
        read = f"{gather.output[0]}/stored"
        table, indices, made = cast.input[0], gather.input[1], gather.output[0]
        if not _is_made_before(graph, indices, cast):
            continue
        del casts[name]
        kept = type(cast).FromString(cast.SerializeToString())
        cast.CopyFrom(gather)
        cast.input[0], cast.output[0] = table, read
        cast.input[1] = indices
        gather.CopyFrom(kept)
        gather.input[0], gather.output[0] = read, made


def _is_made_before(graph: Graph, value: str, node: Any) -> bool:
    """Whether a value is there when the node's turn comes."""
    if value in graph.inputs or any(t.name == value for t in graph.proto.graph.initializer):
        return True
    for other in graph.proto.graph.node:
        if other is node:
            return False
        if value in other.output:
            return True
    return False


def _transposes(node: Any) -> bool:
    """Whether a node transposes a matrix."""
    perm = [list(a.ints) for a in node.attribute if a.name == "perm"]
    return node.op_type == "Transpose" and not node.domain and perm in ([], [[1, 0]])
