"""Random weights for a graph that has none, so that speed and memory can be measured without a checkpoint.

What a network computes with them is noise, but of the size that trained ones' values have: no infinities, and no
arithmetic on denormal numbers, which processors are slow at.
"""

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from latentrt.errors import InputError
from latentrt.files import atomic_write
from latentrt.models.safetensors import DTYPE_NAMES, safetensors_header
from latentrt.networks.graph import Graph

SMALL = 0.02  # standard deviation of biases, of norms' weights about 1, and of embeddings
CHUNK = 1 << 20  # values drawn at once: 6 MiB in float32 and float16


def write_random_weights(graph: Graph, path: Path, seed: int = 0) -> None:
    """Draw every parameter of `graph` and write them to one safetensors file, as `write_random_tensors` does.

    Raises:
        InputError: the graph has no parameters, or one that is no float.
        OSError: the file cannot be written.
    """
    if not graph.parameters:
        raise InputError(f"{graph.name}: has no parameters to draw; expected a graph without weights")
    for parameter in graph.parameters:
        if parameter.dtype.kind != "f":
            raise InputError(
                f"{graph.name}: parameter {parameter.name} is {parameter.dtype}; only floats can be drawn"
            )
    write_random_tensors({p.name: p.shape for p in graph.parameters}, path, seed)


def write_random_tensors(
    shapes: Mapping[str, tuple[int, ...]], path: Path, seed: int = 0, dtype: str = "fp16"
) -> None:
    """Draw tensors, uniform and independent, under which activations keep their size.

    Their names decide: "….bias" is small, a vector otherwise a norm's weight and near 1, "…embedding.weight" is small.
    All else multiplies, and has variance 1 / fan-in. Memory for one chunk of values is all that this takes. The file
    appears whole or not at all. A tensor's values follow from the seed, its name and its shape alone.

    Args:
        shapes: checkpoint name → shape, in the file's order.
        path: of the safetensors file.
        seed: of numpy's generator, with the CRC-32 of the tensor's name.
        dtype: "fp16" or "fp32", what is stored; the values are rounded to float16 in either case, so that files of
            both types hold the same weights.
    """
    stored = np.dtype({"fp16": np.float16, "fp32": np.float32}[dtype])
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # torch's libraries refuse a file without
    offset = 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * stored.itemsize
        entries[name] = {"dtype": DTYPE_NAMES[stored], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    with atomic_write(path) as file:
        file.write(safetensors_header(entries))
        for name, shape in shapes.items():
            center, std = _distribution(name, shape)
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            _draw(file, rng, math.prod(shape), center, std, stored)


def _distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation."""
    if name.endswith("bias") or name.endswith("embedding.weight"):
        return 0.0, SMALL
    if len(shape) < 2:
        return 1.0, SMALL
    return 0.0, 1 / math.sqrt(math.prod(shape[1:]))  # (out, in, …): what one output sums over


def _draw(
    file: BinaryIO, rng: np.random.Generator, count: int, center: float, std: float, dtype: np.dtype[Any]
) -> None:
    """Write `count` values, uniform about `center`."""
    width = math.sqrt(12) * std  # the variance of a uniform distribution is width² / 12
    for start in range(0, count, CHUNK):
        values = rng.random(min(CHUNK, count - start), np.float32)
        values -= 0.5
        values *= width
        values += center
        file.write(values.astype(np.float16).astype(dtype, copy=False).data)
