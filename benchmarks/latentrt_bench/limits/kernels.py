"""Small graphs whose time goes into one thing, multiplication or memory, ready to be called on a provider.

Weights are constants, as in a network; inputs and outputs are bound to memory on the device, so that a call copies
nothing there or back.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from latentrt.engine.providers import Provider, open_session
from latentrt.models.safetensors import DTYPE_NAMES
from latentrt.networks.cost.operators import CONTRIBUTED
from latentrt.networks.emitter import CONTRIB
from latentrt.networks.proto import ONNX_TYPES, ModelProto

Array = npt.NDArray[Any]
# Operator, inputs, output, attributes.
Operation = tuple[str, Sequence[str], str, Mapping[str, Sequence[int]]]

DEPTH = 4  # products in a row
MATRICES = (512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)  # rows and columns
# Channels, height = width.
PICTURES = (
    (64, 64),
    (128, 64),
    (128, 128),
    (256, 64),
    (512, 64),
    (512, 128),
    (512, 256),
)
ROWS = 1024  # of the array that is copied


@dataclass(frozen=True)
class Kernel:
    """Something to time.

    Attributes:
        name: what it is.
        work: MACs, or bytes read and written, of one call.
        call: once.
        held: what ONNX Runtime only borrows, and which therefore must stay.
    """

    name: str
    work: int
    call: Callable[[], None]
    held: tuple[Any, ...] = ()


def matrices(provider: Provider, dtype: str) -> Iterator[Kernel]:
    """x·w·w·w·w of square matrices; in int8 x·w, bytes times bytes, as a layer in integers has it."""
    if dtype == "int8":
        yield from _integer_matrices(provider)
        return
    for n in MATRICES:
        x, w = _random((n, n), dtype, 1), _random((n, n), dtype, n)
        nodes: list[Operation] = [
            ("MatMul", ("x" if i == 0 else f"y{i}", "w"), f"y{i + 1}", {}) for i in range(DEPTH)
        ]
        yield _kernel(provider, dtype, f"matmul {n}x{n}", DEPTH * n**3, nodes, {"w": w}, {"x": x}, (n, n))


def _integer_matrices(provider: Provider) -> Iterator[Kernel]:
    one = np.float32(1 / 256)
    for n in MATRICES:
        x, w = (_random((n, n), "fp32", 1) * np.float32(10) for _ in range(2))
        constants = {"w": w.astype(np.int8), "one": one}
        nodes: list[Operation] = [("MatMulIntegerToFloat", ("x", "w", "one", "one"), "y", {})]
        feeds = {"x": (x + np.float32(128)).astype(np.uint8)}
        yield _kernel(provider, "int8", f"matmul {n}x{n}", n**3, nodes, constants, feeds, (n, n))


def convolutions(provider: Provider, dtype: str) -> Iterator[Kernel]:
    """A 3x3 convolution four times over; none in int8, whose convolutions are products of matrices."""
    if dtype == "int8":
        return
    for c, size in PICTURES:
        x, w = _random((1, c, size, size), dtype, 1), _random((c, c, 3, 3), dtype, 9 * c)
        attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        nodes: list[Operation] = [
            ("Conv", ("x" if i == 0 else f"y{i}", "w"), f"y{i + 1}", attributes) for i in range(DEPTH)
        ]
        name = f"conv 3x3 {c} channels {size}x{size}"
        yield _kernel(provider, dtype, name, DEPTH * 9 * (c * size) ** 2, nodes, {"w": w}, {"x": x}, x.shape)


def memory_kernels(provider: Provider, size: int) -> list[Kernel]:
    """Kernels whose time goes into memory, over one array of `size` bytes."""
    columns = size // 4 // ROWS
    x = ort.OrtValue.ortvalue_from_numpy(_random((ROWS, columns), "fp32", 1), _device(provider), 0)
    row = _random((1, ROWS), "fp32", ROWS)
    two, last = np.float32(2), np.array([1])
    copy: Operation = ("Mul", ("x", "two"), "y", {})
    product: Operation = ("MatMul", ("row", "x"), "y", {})
    maxima: Operation = ("ReduceMax", ("x", "last"), "y", {})
    feeds = {"x": x}
    return [
        _kernel(provider, "fp32", "copy scaled", 2 * size, [copy], {"two": two}, feeds, (ROWS, columns)),
        _kernel(
            provider, "fp32", "read row x matrix", size, [product], {}, {**feeds, "row": row}, (1, columns)
        ),
        _kernel(provider, "fp32", "read maxima", size, [maxima], {"last": last}, feeds, (ROWS, 1)),
    ]


def _kernel(
    provider: Provider,
    dtype: str,
    name: str,
    work: int,
    nodes: Sequence[Operation],
    constants: Mapping[str, Any],
    feeds: Mapping[str, Any],
    shape: Sequence[int],
) -> Kernel:
    """A session of these nodes, its inputs and the output of that shape bound to memory on the device."""
    device = _device(provider)
    values = {
        key: feed if isinstance(feed, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(feed, device, 0)
        for key, feed in feeds.items()
    }
    numpy_type = np.float16 if dtype in ("fp16", "bf16") else np.float32
    output = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), numpy_type, device, 0)
    data = _graph(name, nodes, constants, values, shape, np.dtype(numpy_type))
    session = open_session(data, provider.session_options(dtype))
    binding = session.io_binding()
    for key, value in values.items():
        binding.bind_ortvalue_input(key, value)
    binding.bind_ortvalue_output(nodes[-1][2], output)

    def call() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return Kernel(name, work, call, (values, output))


def _graph(
    name: str,
    nodes: Sequence[Operation],
    constants: Mapping[str, Any],
    inputs: Mapping[str, ort.OrtValue],
    output: Sequence[int],
    dtype: np.dtype[Any],
) -> bytes:
    model = ModelProto(ir_version=9)
    model.opset_import.add(version=20)
    model.opset_import.add(domain=CONTRIB, version=1)
    body = model.graph
    body.name = name
    for key, given in inputs.items():
        _declare(body.input.add(name=key), given.element_type(), given.shape())
    _declare(body.output.add(name=nodes[-1][2]), ONNX_TYPES[DTYPE_NAMES[dtype]], output)
    for key, constant in constants.items():
        array = np.asarray(constant)
        raw = array.tobytes()
        body.initializer.add(
            name=key, data_type=ONNX_TYPES[DTYPE_NAMES[array.dtype]], dims=array.shape, raw_data=raw
        )
    for operator, reads, writes, attributes in nodes:
        node = body.node.add(op_type=operator, input=reads, output=[writes])
        node.domain = CONTRIB if operator in CONTRIBUTED else ""
        for key, ints in attributes.items():
            node.attribute.add(name=key, ints=ints, type=7)  # AttributeProto.INTS
    data: bytes = model.SerializeToString()
    return data


def _declare(value: Any, kind: int, shape: Sequence[int]) -> None:
    value.type.tensor_type.elem_type = kind
    for size in shape:
        value.type.tensor_type.shape.dim.add(dim_value=size)


def _random(shape: tuple[int, ...], dtype: str, fan_in: int) -> Array:
    """Values of mean 0 and variance 1 / fan_in, so that four products in a row keep their size.

    A million are drawn and repeated: processors do not tell, and drawing would take longer than measuring.
    """
    drawn = np.random.default_rng(0).random(1 << 20, np.float32)
    values = ((drawn - np.float32(0.5)) * np.float32(math.sqrt(12 / fan_in))).astype(
        np.float16 if dtype in ("fp16", "bf16") else np.float32
    )
    return np.resize(values, shape)


def _device(provider: Provider) -> str:
    """Where ONNX Runtime keeps what the provider reads without copying."""
    return "cuda" if provider.name == "cuda" else "cpu"
