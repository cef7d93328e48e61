"""Writes one component of a bundle: its weights, once, and both graphs that point into them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from latentrt.models.manifest import GRAPH_FILES, GraphEntry, ValueInfo
from latentrt.models.weights import ALIGNMENT, safetensors_header
from latentrt_export.graphs import COMPUTES, build_graph, parameter_shapes, serialize
from latentrt_export.source import Tensors

WEIGHTS_FILE = "model.safetensors"
_ITEM_BYTES = 2  # float16


def write_component(
    folder: Path,
    component: str,
    config: Mapping[str, Any],
    tensors: Tensors,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, GraphEntry]:
    """Write `model.safetensors`, `model.onnx` and `model.fp32.onnx` into `folder`; return the graphs by compute type.

    Weights pass through memory one tensor at a time. `progress` is told the bytes written, and how many there will be.

    Raises:
        ModelError: config.json has a setting without a graph; WeightsError: a tensor cannot be taken.
        OSError: the disk is full or cannot be written.
    """
    models = {compute: build_graph(component, config, compute) for compute in COMPUTES}
    shapes = parameter_shapes(models["fp16"])
    placed = _write_weights(folder / WEIGHTS_FILE, shapes, tensors, progress)
    entries = {}
    for compute, model in models.items():
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                offset, length = placed[tensor.name]
                del tensor.external_data[:]
                for key, value in (
                    ("location", WEIGHTS_FILE),
                    ("offset", str(offset)),
                    ("length", str(length)),
                ):
                    tensor.external_data.add(key=key, value=value)
        (folder / GRAPH_FILES[compute]).write_bytes(serialize(model))
        entries[compute] = _entry(folder.name, GRAPH_FILES[compute], model)
    return entries


def _write_weights(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Tensors,
    progress: Callable[[int, int], None],
) -> dict[str, tuple[int, int]]:
    """Name → (offset, length) in the file.

    The format allows no gaps between tensors, so those whose size would push the next off a cache line come last.
    """
    sizes = {name: int(np.prod(shape)) * _ITEM_BYTES for name, shape in shapes.items()}
    order = sorted(shapes, key=lambda name: sizes[name] % ALIGNMENT != 0)
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in order:
        entries[name] = {"dtype": "F16", "shape": list(shapes[name]), "data_offsets": [at, at + sizes[name]]}
        at += sizes[name]
    header = safetensors_header(entries)
    placed = {}
    with path.open("wb") as file:
        file.write(header)
        for name in order:
            start = entries[name]["data_offsets"][0]
            half = np.ascontiguousarray(tensors.half(name, shapes[name]), "<f2")
            file.write(half.data)
            placed[name] = (len(header) + start, sizes[name])
            progress(start + sizes[name], at)
    return placed


def _entry(folder: str, file: str, model: onnx.ModelProto) -> GraphEntry:
    return GraphEntry(
        f"{folder}/{file}",
        tuple(map(_value_info, model.graph.input)),
        tuple(map(_value_info, model.graph.output)),
    )


def _value_info(value: onnx.ValueInfoProto) -> ValueInfo:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
    return ValueInfo(value.name, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)
