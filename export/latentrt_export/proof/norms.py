"""The norms of a graph, as torch's class has them: how many of each kind, with which groups and which ε.

An ε ten times too large moves the outputs of some norms by less than float32 rounds, so the outputs alone do not tell.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from latentrt.networks import Graph

# Groups, of a layer norm 0, and ε in float32, in which graphs have it.
Norm = tuple[int, float]


def graph_norms(path: Path) -> "Counter[Norm]":
    """Those of an ONNX file that this project wrote, whose group norms are instance norms with a channel a group."""
    proto = Graph.parse(path.read_bytes(), path.name).proto
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    found: Counter[Norm] = Counter()
    for node in proto.graph.node:
        if node.op_type in ("InstanceNormalization", "LayerNormalization"):
            epsilon = next(
                (a.f for a in node.attribute if a.name == "epsilon"), 1e-5
            )  # 1e-5 is ONNX's default
            groups = sizes[node.input[1]] if node.op_type == "InstanceNormalization" else 0
            found[groups, float(np.float32(epsilon))] += 1
    return found


def norm_of(layer: Any) -> Norm:
    """That of a GroupNorm or LayerNorm of torch."""
    return int(getattr(layer, "num_groups", 0)), float(np.float32(layer.eps))


def described(norms: "Counter[Norm]") -> str:
    """In words, for messages."""
    kinds = []
    for (groups, epsilon), count in sorted(norms.items()):
        kind = f"group norms of {groups} groups" if groups else "layer norms"
        kinds.append(f"{count} {kind} with epsilon {epsilon:.3g}")
    return ", ".join(kinds) or "none"
