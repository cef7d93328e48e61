"""What a prepared network is known by: all that its bytes depend on."""

import functools
import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import onnxruntime as ort

from latentrt.engine.prepared.folder import FORMAT
from latentrt.errors import WeightsError
from latentrt.files import open_regular
from latentrt.models.header import MAX_HEADER_BYTES
from latentrt.models.safetensors import Tensor
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Variant
from latentrt.networks.int8 import FORM, LEVELS

_SAMPLES, _SAMPLE = 32, 4096  # of a file of weights: so many pieces of so many bytes
# What Linux says of a processor that kernels are chosen by; the rest of /proc/cpuinfo changes from core to core.
_CPU_FIELDS = (
    *("vendor_id", "cpu family", "model", "model name", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"),
)


def key_of(component: str, graph: Graph, variant: Variant, weights: Weights, saved: bool) -> str:
    """The key of a network, 40 hex digits.

    Args:
        component: its name.
        graph: as its builder wrote it.
        variant: of the graph.
        weights: where its parameters are found.
        saved: whether ONNX Runtime saves what it makes of the weights.

    Raises:
        WeightsError: a file of weights cannot be read.
    """
    found = [weights.find(parameter.name, parameter.shape) for parameter in graph.parameters]
    tensors = [tensor for tensor in found if tensor is not None]
    files = sorted({file for tensor in tensors for file in _files(tensor)})
    said = {
        "format": FORMAT,
        "component": component,
        "graph": hashlib.sha256(graph.serialize()).hexdigest(),
        "variant": repr(variant),
        "saved": saved,
        "integers": [FORM, LEVELS] if graph.quantized else None,
        "tensors": [_described(tensor, files) for tensor in tensors],
        "files": [identity(file) for file in files],
        "onnxruntime": [ort.__version__, ort.get_build_info()],
        "processor": processor(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:40]


def identity(file: Path) -> list[Any]:
    """What tells a file of weights from another: path, size, time, header, and some of its bytes.

    Raises:
        WeightsError: it cannot be read.
    """
    with open_regular(file, WeightsError) as stream:
        status = os.fstat(stream.fileno())
        length = min(int.from_bytes(stream.read(8), "little"), MAX_HEADER_BYTES)
        digest = hashlib.sha256(stream.read(length))
        digest.update(sampled(stream, status.st_size))
    return [str(file.resolve()), status.st_size, status.st_mtime_ns, digest.hexdigest()]


def sampled(stream: Any, size: int, samples: int = _SAMPLES) -> bytes:
    """Pieces of an open file, spread evenly over its bytes."""
    pieces = []
    for index in range(samples):
        stream.seek(max(size - _SAMPLE, 0) * index // max(samples - 1, 1))
        pieces.append(stream.read(_SAMPLE))
    return b"".join(pieces)


@functools.cache
def processor() -> str:
    """What is known of the processor; kernels and the order of their weights are chosen by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux: at least what the system calls it, and the machine
        return " ".join((platform.machine(), platform.processor(), platform.node()))
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return json.dumps([platform.machine(), *(fields.get(name) for name in _CPU_FIELDS)])


def _files(tensor: Tensor) -> list[Path]:
    return [tensor.file] if tensor.scale is None else [tensor.file, *_files(tensor.scale)]


def _described(tensor: Tensor, files: list[Path]) -> list[Any]:
    scale = None if tensor.scale is None else _described(tensor.scale, files)
    place = [files.index(tensor.file), tensor.start, tensor.end]
    return [tensor.name, tensor.dtype, tensor.shape, *place, tensor.is_transposed, scale]
