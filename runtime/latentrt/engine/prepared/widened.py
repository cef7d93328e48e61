"""A graph over one file of weights that are as wide as it computes, written one by one.

What ONNX Runtime then makes of them it makes out of the mapped file: in memory is only what comes of it.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.models.floats import WIDENED
from latentrt.models.safetensors import NUMPY_TYPES
from latentrt.networks.proto import EXTERNAL, FLOAT, ONNX_TYPES

Array = npt.NDArray[Any]

_NAMES = {number: name for name, number in ONNX_TYPES.items()}
_ALIGNMENT = 64


def write_widened(model: Any, folder: Path, values: Mapping[str, ort.OrtValue], out: Path) -> None:
    """Write all external initializers of a graph into a file, and have the graph find them there.

    Those that the graph casts to float32 wherever it reads them are written so, and the casts go.

    Args:
        model: a ModelProto, placed; changed.
        folder: where its files are.
        values: those that are in memory, by name.
        out: the file to write.

    Raises:
        OSError: it cannot be written.
    """
    graph = model.graph
    external = [tensor for tensor in graph.initializer if tensor.data_location == EXTERNAL]
    wide = _drop_casts(graph, {tensor.name for tensor in external})
    with out.open("xb") as file:
        for tensor in external:
            array = _read(tensor, folder, values)
            if tensor.name in wide:
                array, tensor.data_type = _widen(array, tensor.data_type), FLOAT
            offset = _append(file, array)
            del tensor.external_data[:]
            for key, value in (("location", out.name), ("offset", offset), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))


def _drop_casts(graph: Any, names: set[str]) -> set[str]:
    """Which of the initializers are read through casts to float32 alone; these casts are dropped."""
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    kept = {output.name for output in graph.output}
    wide = {name for name in names if readers[name] and all(_is_cast(node) for node in readers[name])}
    dropped = {node.output[0]: name for name in wide for node in readers[name] if node.output[0] not in kept}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in dropped:
                node.input[index] = dropped[name]
    for index in reversed(range(len(graph.node))):
        if graph.node[index].output[0] in dropped:
            del graph.node[index]
    return wide


def _is_cast(node: Any) -> bool:
    to = [attribute.i for attribute in node.attribute if attribute.name == "to"]
    return node.op_type == "Cast" and not node.domain and to == [FLOAT]


def _read(tensor: Any, folder: Path, values: Mapping[str, ort.OrtValue]) -> Array:
    """The values as they are stored."""
    if tensor.name in values:
        return np.ascontiguousarray(values[tensor.name].numpy())
    place = {entry.key: entry.value for entry in tensor.external_data}
    dtype = NUMPY_TYPES[_NAMES[tensor.data_type]]
    count = int(place["length"]) // dtype.itemsize
    array: Array = np.fromfile(folder / place["location"], dtype, count, offset=int(place["offset"]))
    if array.size != count:
        raise OSError(f"{folder / place['location']}: has become shorter since it was opened")
    return array


def _widen(array: Array, data_type: int) -> Array:
    name = _NAMES[data_type]
    return WIDENED[name](array) if name in WIDENED else array.astype(np.float32, copy=False)


def _append(file: BinaryIO, array: Array) -> int:
    """Where an array was written."""
    file.write(bytes(-file.tell() % _ALIGNMENT))
    offset = file.tell()
    file.write(array.reshape(-1).view(np.uint8).data)
    return offset
