"""The graph that ONNX Runtime saves when it has optimised one: brought back into order, and looked at."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentrt.networks import Graph
from latentrt.networks.cost.shapes import infer
from latentrt.networks.proto import EXTERNAL, FLOAT, UINT8

_TOLD = {np.dtype(np.float32): FLOAT, np.dtype(np.uint8): UINT8}  # values of these types, and their numbers
_SIZES = (17, 35, 53)  # of the first of the sides that are free; the others are larger
# Sides that any weights take in any size; what another is, as the width of SDXL's text, the weights say.
_FREE = ("batch", "height", "width", "sequence")
_REPLACING = "_nchwc"  # a node that takes blocks of channels in place of one that is called so without
_PACKED = "prepacked_"  # key of an initializer's form that a kernel has packed: "Operator+hash|offset;length;flags|…"


def order(model: Any, original: Any) -> None:
    """Put the nodes into the order of the graph that they are made of, in which they are run.

    ONNX Runtime writes them in another, in which more is held at once. What it has put in place of a node stands where
    that stood, which its name tells; what it has added comes just before what reads it.
    """
    nodes = list(model.graph.node)
    made = {name: index for index, node in enumerate(nodes) for name in node.output}
    before = [{made[name] for name in node.input if name in made} for node in nodes]
    readers: dict[int, list[int]] = defaultdict(list)
    for index, makers in enumerate(before):
        for maker in makers:
            readers[maker].append(index)
    positions = {name: index for index, node in enumerate(original.node) for name in node.output}
    places = [0.0] * len(nodes)
    for index in reversed(
        range(len(nodes))
    ):  # they are sorted: what reads a value stands behind what makes it
        names = (*nodes[index].output, nodes[index].name.removesuffix(_REPLACING))
        known = [positions[name] for name in names if name in positions]
        reading = [places[reader] for reader in readers[index]]
        places[index] = max(known) if known else min(reading, default=len(positions))
    waiting = {index: len(makers) for index, makers in enumerate(before)}
    ready = [(places[index], index) for index, count in waiting.items() if not count]
    heapq.heapify(ready)
    del model.graph.node[:]
    while ready:
        _, index = heapq.heappop(ready)
        model.graph.node.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, (places[reader], reader))


def tell_shapes(model: Any, graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Say what shape values have, which ONNX Runtime does not save and cannot tell behind its own operators.

    It computes a value in place of another where it knows that both have one shape: without that, decoding takes half
    as much memory again.

    Args:
        model: saved by ONNX Runtime; changed.
        graph: what it was made of.
        shapes: of its inputs, as it was run with.
    """
    given = {
        side: size
        for name, value in graph.inputs.items()
        for side, size in zip(value.shape, shapes[name], strict=True)
        if isinstance(side, str)
    }
    names = [side for side in given if side in _FREE]
    # Odd sizes, so that what is halved and doubled again is not taken for what it was.
    sizes = [given | {name: first + 4 * index for index, name in enumerate(names)} for first in _SIZES]
    seen = [
        infer(graph, {name: _sized(value.shape, of) for name, value in graph.inputs.items()}).tensors
        for of in sizes
    ]
    sides = {tuple(of[name] for of in sizes): name for name in names}
    outputs = {value.name for value in graph.proto.graph.output}
    for node in model.graph.node:
        for name in node.output:
            found = [tensors[name] for tensors in seen if name in tensors and name not in outputs]
            if not found or found[0].array.dtype not in _TOLD:
                continue
            told = model.graph.value_info.add(name=name).type.tensor_type
            told.elem_type = _TOLD[found[0].array.dtype]
            for values in zip(*(one.shape for one in found), strict=True):
                if len(set(values)) == 1:
                    told.shape.dim.add(dim_value=values[0])
                else:
                    told.shape.dim.add(dim_param=sides.setdefault(values, "_".join(map(str, values))))


def _sized(shape: Sequence[int | str], sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[side] if isinstance(side, str) else side for side in shape)


def check_size(model: Any, data: Path) -> None:
    """See that all weights have been written.

    Raises:
        OSError: the file is too short, as where the disk is full.
    """
    ends = [0]
    for tensor in model.graph.initializer:
        for entry in tensor.external_data if tensor.data_location == EXTERNAL else []:
            if entry.key.startswith(_PACKED):
                blobs = entry.value.split("|")[1:]
                ends += [sum(map(int, blob.split(";")[:2])) for blob in blobs]
        offset, length = _span(tensor)
        ends.append(offset + length)
    size = data.stat().st_size
    if size < max(ends):
        raise OSError(28, f"{size} bytes were written of {max(ends)}", str(data))


def _span(tensor: Any) -> tuple[int, int]:
    """Where an initializer lies in its file."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    return int(place.get("offset", 0)), int(place.get("length", 0))
