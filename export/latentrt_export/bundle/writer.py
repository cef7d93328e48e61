"""Writes one component of a bundle: its weights, once, and both graphs that point into them."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.engine.quantized import in_integers
from latentrt.errors import WeightsError
from latentrt.models.component import Component
from latentrt.models.manifest import GRAPH_FILES, INT8_WEIGHTS_FILE, WEIGHTS_FILE, GraphEntry, ValueInfo
from latentrt.models.safetensors import ALIGNMENT, safetensors_header
from latentrt.networks import COMPUTES, Graph, Place, Value, Variant
from latentrt_export.bundle.source import Tensors, tensors_of

# What weights are stored in: its name in safetensors, and how numpy writes it.
STORED: Mapping[str, tuple[str, str]] = {"fp16": ("F16", "<f2"), "fp32": ("F32", "<f4")}


def write_component(
    folder: Path,
    component: Component,
    dtype: str = "fp16",
    progress: Callable[[int, int], None] = lambda done, total: None,
    in_int8: bool = False,
) -> dict[str, GraphEntry]:
    """Write `model.safetensors`, `model.onnx` and `model.fp32.onnx` into `folder`; return the graphs by compute type.

    With `in_int8` also `model.int8.safetensors` and `model.int8.onnx`, of the checkpoint's own weights.

    Weights pass through memory one tensor at a time. Where they are stored as fp32, the graph of fp16 compute casts
    each of them. `progress` is told the bytes written, and how many there will be.

    Raises:
        ModelError: config.json has a setting without a graph; WeightsError: a tensor cannot be taken.
        OSError: the disk is full or cannot be written.
    """
    variants = {compute: Variant(compute, any_weights=dtype != "fp16") for compute in COMPUTES}
    graphs = {compute: component.graph(variant) for compute, variant in variants.items()}
    shapes = {parameter.name: parameter.shape for parameter in graphs["fp16"].parameters}
    places = _write_weights(folder / WEIGHTS_FILE, shapes, tensors_of(component), dtype, progress)
    entries = {}
    for compute, graph in graphs.items():
        graph.place(places)
        (folder / GRAPH_FILES[compute]).write_bytes(graph.serialize())
        entries[compute] = _entry(folder.name, GRAPH_FILES[compute], graph)
    if in_int8:
        graph = component.graph(Variant("int8", fused_attention=True))
        graph.place(_write_integers(folder / INT8_WEIGHTS_FILE, graph, tensors_of(component), progress))
        (folder / GRAPH_FILES["int8"]).write_bytes(graph.serialize())
        entries["int8"] = _entry(folder.name, GRAPH_FILES["int8"], graph)
    return entries


def _write_integers(
    path: Path, graph: Graph, tensors: Tensors, progress: Callable[[int, int], None]
) -> dict[str, Place]:
    """Write what an int8 graph takes, integers and scales, and the rest in float16; return where each lies."""
    kinds = {"I8": np.dtype(np.int8), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {}
    for parameter in graph.parameters:
        if (one := parameter.quantized) is None:
            wanted[parameter.name] = "F16", parameter.shape
            continue
        for matrix in one.matrices(parameter.name):
            wanted[matrix.weight] = "I8", matrix.shape
            wanted[matrix.scale] = "F32", matrix.shape[1:]
    sizes = {name: math.prod(shape) * kinds[kind].itemsize for name, (kind, shape) in wanted.items()}
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(wanted, key=lambda name: sizes[name] % ALIGNMENT != 0):
        kind, shape = wanted[name]
        entries[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + sizes[name]]}
        at += sizes[name]
    header = safetensors_header(entries)
    places = {
        name: Place(kind, path.name, len(header) + entries[name]["data_offsets"][0], sizes[name])
        for name, (kind, _) in wanted.items()
    }
    done = 0
    with path.open("wb") as file:
        file.write(header)
        for parameter in graph.parameters:
            array = tensors.read(parameter.name, parameter.shape)
            if parameter.quantized is None:
                made = {parameter.name: _convert(path, parameter.name, array, "<f2")}
            else:
                made = dict(in_integers(path.parent.name, parameter, array))
            for name, values in made.items():
                file.seek(places[name].offset)
                file.write(values.data)
                done += values.nbytes
            progress(done, at)
    return places


def _write_weights(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Tensors,
    dtype: str,
    progress: Callable[[int, int], None],
) -> dict[str, Place]:
    """Where in the file each tensor lies.

    The format allows no gaps between tensors, so those whose size would push the next off a cache line come last.
    """
    stored, numpy_type = STORED[dtype]
    sizes = {name: int(np.prod(shape)) * np.dtype(numpy_type).itemsize for name, shape in shapes.items()}
    order = sorted(shapes, key=lambda name: sizes[name] % ALIGNMENT != 0)
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in order:
        span = [at, at + sizes[name]]
        entries[name] = {"dtype": stored, "shape": list(shapes[name]), "data_offsets": span}
        at += sizes[name]
    header = safetensors_header(entries)
    places = {}
    with path.open("wb") as file:
        file.write(header)
        for name in order:
            start = entries[name]["data_offsets"][0]
            array = _convert(path, name, tensors.read(name, shapes[name]), numpy_type)
            file.write(array.data)
            places[name] = Place(stored, WEIGHTS_FILE, len(header) + start, sizes[name])
            progress(start + sizes[name], at)
    return places


def _convert(path: Path, name: str, array: npt.NDArray[Any], numpy_type: str) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, numpy_type)
    if not np.isfinite(converted).all():
        largest = float(np.abs(array).max())
        limit = float(np.finfo(converted.dtype).max)
        advice = "; export with --dtype fp32, which keeps it" if largest <= np.finfo(np.float32).max else ""
        raise WeightsError(
            f"{path.parent.name}: tensor {name} holds {largest:.3g}, which exceeds the range of {converted.dtype} "
            f"({limit:.5g}){advice}"
        )
    return converted


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
