"""What one call of a graph costs, read off the graph: multiplications, bytes, memory for activations.

1 MAC is one multiplication with its addition, 2 FLOP. Counted are convolutions, linears (a product with a weight) and
attention products (of two activations); a padded edge counts as if it were picture, as is the custom. Norms,
activation functions and biases are not counted as MACs; what they cost is bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentrt.networks.cost import products
from latentrt.networks.cost.shapes import Inference, infer
from latentrt.networks.cost.tensors import Node, Tensor
from latentrt.networks.graph import Graph

# The same memory under another shape.
VIEWS = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
# Of their first input they read no more than they write.
PICKERS = ("Gather", "GatherElements", "GatherND", "Slice")


@dataclass(frozen=True)
class Cost:
    """Of one call.

    Attributes:
        macs: conv + linear + attention.
        conv: MACs of convolutions.
        linear: MACs of products with a weight.
        attention: MACs of products of two activations.
        bytes_moved: where each node reads its inputs and writes its outputs once, in the graph's own types.
        least_bytes: that no implementation can do without: each weight that is used and each input read once, each
            output written once.
        weight_bytes: of all parameters, in the type that is computed in.
        peak_activation_bytes: of the values that are alive at one node, at the most, in the graph's order, with what
            that node takes for itself; inputs are alive throughout, outputs until the end.
        nodes: that compute in each call; views, and what follows from weights and shapes alone, do not.
    """

    macs: int
    conv: int
    linear: int
    attention: int
    bytes_moved: int
    least_bytes: int
    weight_bytes: int
    peak_activation_bytes: int
    nodes: int


def cost(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Cost:
    """Count for inputs of these shapes; nothing is run and nothing of the activations' size is allocated.

    Raises:
        InputError: an input is missing, unknown, or of a shape that the graph does not take.
        GraphError: an operator is unknown here, or a shape depends on the data of an input.
    """
    inference = infer(graph, shapes)
    tensors = inference.tensors
    working = [node for node in inference.nodes if not node.is_constant and node.operator not in VIEWS]
    counted = {"conv": 0, "linear": 0, "attention": 0}
    moved = 0
    read: dict[str, int] = {}  # of each constant, once
    for node in working:
        outputs = [tensors[name] for name in node.outputs if name]
        kind, count = products.macs(node, outputs[0])
        if count:
            counted[kind] += count
        reads = _reads(node, outputs[0])
        moved += sum(reads.values()) + sum(output.nbytes for output in outputs)
        for name, size in reads.items():
            if tensors[name].is_constant:
                read[name] = max(size, read.get(name, 0))
    ends = [name for name in graph.outputs if not tensors[name].is_constant]
    return Cost(
        macs=sum(counted.values()),
        **counted,
        bytes_moved=moved,
        least_bytes=sum(read.values()) + sum(tensors[name].nbytes for name in [*graph.inputs, *ends]),
        weight_bytes=_weight_bytes(graph, inference),
        peak_activation_bytes=_peak(inference, list(graph.inputs), ends),
        nodes=len(working),
    )


def _reads(node: Node, output: Tensor) -> dict[str, int]:
    """Bytes that a node reads, by the value's name; one that is given twice is read once."""
    reads = {}
    for index, (name, tensor) in enumerate(zip(node.names, node.inputs, strict=True)):
        if tensor is not None:
            picks = index == 0 and node.operator in PICKERS
            reads[name] = min(tensor.nbytes, output.nbytes) if picks else tensor.nbytes
    return reads


def _weight_bytes(graph: Graph, inference: Inference) -> int:
    """Of the external initializers, or, where there is none, of those that are floats."""
    initializers = {tensor.name: tensor for tensor in graph.proto.graph.initializer}
    names = [name for name, tensor in initializers.items() if tensor.data_location == 1]
    tensors = inference.tensors
    names = names or [name for name in initializers if tensors[name].array.dtype.kind in "fV"]
    casts = {node.names[0]: node.outputs[0] for node in inference.nodes if node.operator == "Cast"}
    return sum(tensors[casts.get(name, name)].nbytes for name in names)


def _peak(inference: Inference, inputs: Sequence[str], outputs: Sequence[str]) -> int:
    tensors = inference.tensors
    source: dict[str, str] = {}  # of a view: whose memory it is
    last: dict[str, int] = dict.fromkeys(inputs, len(inference.nodes))
    for index, node in enumerate(inference.nodes):
        names = [source.get(name, name) for name in node.names if name and not tensors[name].is_constant]
        if node.operator in VIEWS and names:
            source[node.outputs[0]] = names[0]
        for name in names:
            last[name] = max(index, last.get(name, index))
    last |= {source.get(name, name): len(inference.nodes) for name in outputs}
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        ending.setdefault(index, []).append(name)
    gates = _gates(inference.nodes)
    alive = peak = sum(tensors[name].nbytes for name in inputs)
    for index, node in enumerate(inference.nodes):
        made = [
            n for n in node.outputs if n and n not in source and n not in gates and not tensors[n].is_constant
        ]
        alive += sum(tensors[name].nbytes for name in made)
        peak = max(peak, alive + _scratch(node))
        unused = [name for name in made if name not in last]
        ended = [name for name in ending.get(index, []) if name not in gates]
        alive -= sum(tensors[name].nbytes for name in [*ended, *unused])
    return peak


def _gates(nodes: Sequence[Node]) -> set[str]:
    """Sigmoids of x that x alone is multiplied by: ONNX Runtime computes both in one node."""
    sigmoids = {node.outputs[0]: node.names[0] for node in nodes if node.operator == "Sigmoid"}
    uses = Counter(name for node in nodes for name in node.names if name in sigmoids)
    products = [node for node in nodes if node.operator == "Mul"]
    return {
        name
        for node in products
        for name, other in (node.names, node.names[::-1])
        if name in sigmoids and sigmoids[name] == other and uses[name] == 1
    }


def _scratch(node: Node) -> int:
    """Bytes that a node takes besides while it runs."""
    if node.operator == "MultiHeadAttention":  # copies in which each head's rows lie together
        return sum(tensor.nbytes for tensor in node.inputs if tensor is not None)
    return 0
