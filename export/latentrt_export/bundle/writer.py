"""Writes one component of a bundle: its weights, once, and both graphs that point into them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentrt.models.manifest import GRAPH_FILES, WEIGHTS_FILE, GraphEntry, ValueInfo
from latentrt.models.weights import ALIGNMENT, safetensors_header
from latentrt.networks import COMPUTES, Graph, Place, Value, Variant, build
from latentrt_export.bundle.source import Source, Tensors

_ITEM_BYTES = 2  # float16


def write_component(
    folder: Path,
    component: str,
    source: Source,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, GraphEntry]:
    """Write `model.safetensors`, `model.onnx` and `model.fp32.onnx` into `folder`; return the graphs by compute type.

    Weights pass through memory one tensor at a time. `progress` is told the bytes written, and how many there will be.

    Raises:
        ModelError: config.json has a setting without a graph; WeightsError: a tensor cannot be taken.
        OSError: the disk is full or cannot be written.
    """
    config, where = source.configs[component], str(source.config_path(component))
    graphs = {compute: build(component, config, Variant(compute), where) for compute in COMPUTES}
    shapes = {parameter.name: parameter.shape for parameter in graphs["fp16"].parameters}
    places = _write_weights(folder / WEIGHTS_FILE, shapes, source.tensors(component), progress)
    entries = {}
    for compute, graph in graphs.items():
        graph.place(places)
        (folder / GRAPH_FILES[compute]).write_bytes(graph.serialize())
        entries[compute] = _entry(folder.name, GRAPH_FILES[compute], graph)
    return entries


def _write_weights(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Tensors,
    progress: Callable[[int, int], None],
) -> dict[str, Place]:
    """Where in the file each tensor lies.

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
    places = {}
    with path.open("wb") as file:
        file.write(header)
        for name in order:
            start = entries[name]["data_offsets"][0]
            half = np.ascontiguousarray(tensors.half(name, shapes[name]), "<f2")
            file.write(half.data)
            places[name] = Place("F16", WEIGHTS_FILE, len(header) + start, sizes[name])
            progress(start + sizes[name], at)
    return places


def _entry(folder: str, file: str, graph: Graph) -> GraphEntry:
    return GraphEntry(
        f"{folder}/{file}",
        tuple(map(_value_info, graph.inputs.values())),
        tuple(map(_value_info, graph.outputs.values())),
    )


def _value_info(value: Value) -> ValueInfo:
    if value.dtype is None:
        raise TypeError(f"{value.name} has no type")
    return ValueInfo(value.name, value.dtype.name, value.shape)
