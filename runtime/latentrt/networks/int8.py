"""Layers in integers: 8-bit weights with a scale for each output, inputs quantised as they come.

Weights are symmetric, made of the checkpoint's own tensors when a network is loaded; nothing is calibrated. What a
layer is given is quantised to unsigned numbers with one scale and zero point for the whole array
(`DynamicQuantizeLinear`), and products are summed exactly in 32 bits (`MatMulIntegerToFloat`). Of what the text says,
whose rows are of very different sizes, each row has a scale of its own and two bytes for each number. Arrays are
channels-last: then a convolution is one product over the windows of the quantised picture, and pixels are tokens as
they lie.

Which layers stay in float is said here, in `stays_float`, and nowhere else.
"""

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Matrix, Quantized
from latentrt.networks.proto import UINT8

FORM = 1  # of what `quantize` makes: counted up where that changes, since it is kept prepared
LEVELS = 63  # the largest weight: seven bits, see `quantize`
_AT_ONCE = 64  # outputs that are widened at a time
_END = 2**63 - 1
_MIDDLE = 128  # the zero point of what is in two bytes a number
_FINER = 254.0  # levels of the second byte in one of the first
_LEAST = 1e-30  # of a row of zeros

# Modules whose layers are computed in float: docs/int8.md says what each gains and costs.
_FLOAT = frozenset(("conv_in", "conv_out", "post_quant_conv", "time_embedding", "add_embedding"))
# Where a shortcut sees all that came before as one picture; after a skip connection it sees two, quantised apart.
_ONE_PICTURE = ("down_blocks.", "decoder.")


def is_wanted(e: Emitter) -> bool:
    """Whether the layer of the current module is computed in integers."""
    return e.variant.compute == "int8" and not stays_float(e.path)


def stays_float(path: str) -> bool:
    """Whether the layer of a module, "down_blocks.0.resnets.0.conv1", is computed in float in an int8 network."""
    if path.endswith("conv_shortcut"):
        return path.startswith(_ONE_PICTURE)
    return not _FLOAT.isdisjoint(path.split("."))


def quantize(weight: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A weight as an int8 layer takes it: int8 (rows, n_out) and float32 (n_out,), so that weight ≈ int8 · scale.

    A kernel (n_out, n_in, kh, kw) gives rows ordered as its windows lie: kh, kw, n_in.

    The weights take seven bits of the eight: then a sum of two products, at most 2·255·63, fits into 16 bits, and
    processors that add pairs so (AVX2 and AVX-512 without VNNI, which clip what does not fit) compute exactly what all
    others do.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    n_out = weight.shape[0]
    integers = np.empty((math.prod(weight.shape[1:]), n_out), np.int8)
    scales = np.empty(n_out, np.float32)
    for begin in range(0, n_out, _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        rows = np.moveaxis(np.asarray(weight[some], np.float32), 1, -1).reshape(-1, len(integers))
        largest = np.abs(rows).max(axis=1)
        if not np.isfinite(largest).all():
            raise ValueError("NaN or infinity")
        # Rows of zeros, or of numbers whose scale would round to nothing, become zeros.
        scales[some] = np.maximum(largest / np.float32(LEVELS), np.finfo(np.float32).tiny)
        integers[:, some] = np.rint(rows / scales[some, None]).T
    return integers, scales


def linear(e: Emitter, x: str, n_in: int, n_out: int, bias: bool = True, outputs: int = 1) -> list[str]:
    """(…, n_in) → `outputs` of (…, n_out / outputs), of the module whose scope it stands in."""
    weights = e.quantized("weight", Quantized((n_out, n_in), outputs))
    biases = [e.param("bias", n_out)] if bias else []
    if bias and outputs > 1:
        biases = e.ops("Split", outputs, biases[0], axis=0, num_outputs=outputs)
    product, taken = (_product_of_halves, _in_halves(e, x)) if x in e.uneven else (_product, quantized(e, x))
    return [product(e, taken, weight, *biases[at : at + 1]) for at, weight in enumerate(weights)]


def conv(
    e: Emitter, x: str, n_in: int, n_out: int, kernel: int, stride: int, pads: tuple[int, int], bias: bool = True
) -> str:  # fmt: skip
    """(b, h, w, n_in) → (b, h', w', n_out): the windows of the quantised picture, then one product."""
    shape = n_out, n_in, kernel, kernel
    biases = [e.param("bias", n_out)] if bias else []
    if kernel == stride == 1 and x in e.joined:
        return _of_parts(e, e.joined[x], shape, biases)
    q, scale, zero = quantized(e, x)
    (weight,) = e.quantized("weight", Quantized(shape))
    if kernel > 1 or pads != (0, 0):
        before, after = pads
        q = e.op("Pad", q, e.ints(0, before, before, 0, 0, after, after, 0), zero)
    if kernel > 1 or stride > 1:
        q = _windows(e, q, kernel, stride)
    return _product(e, (q, scale, zero), weight, *biases)


def _of_parts(
    e: Emitter, parts: tuple[tuple[str, int], ...], shape: tuple[int, ...], biases: list[str]
) -> str:
    """A convolution of one pixel over pictures that were joined: each has a scale of its own."""
    weights = e.quantized("weight", Quantized(shape, inputs=tuple(channels for _, channels in parts)))
    sums = [
        _product(e, quantized(e, picture), weight, *(biases if at == 0 else []))
        for at, ((picture, _), weight) in enumerate(zip(parts, weights, strict=True))
    ]
    return functools.reduce(lambda a, b: e.op("Add", a, b), sums)


def quantized(e: Emitter, x: str) -> tuple[str, str, str]:
    """A value in uint8, its scale and zero point; of a value that several layers take, once.

    Its elements are put into another order as bytes, a quarter of what floats are.
    """
    if x not in e.in_integers:
        if (moved := e.put_off(x)) is not None:
            source, move = moved
            q, scale, zero = quantized(e, source)
            e.in_integers[x] = move(q), scale, zero
        else:
            q, scale, zero = e.ops("DynamicQuantizeLinear", 3, x)
            e.in_integers[x] = q, scale, zero
    return e.in_integers[x]


def _in_halves(e: Emitter, x: str) -> tuple[str, str, str]:
    """(b, s, n) in two bytes a number → uint8 (2, b, s, n), their scales (2, b, s, 1), and the zero point of all.

    The first half is the nearest of 255 levels of a row, the second what that leaves, in levels 254 times as fine.
    """
    if x not in e.in_integers:
        rows = e.op("Unsqueeze", x, e.ints(0))
        largest = e.op("Max", e.op("ReduceMax", e.op("Abs", rows), e.ints(-1)), e.scalar(_LEAST))
        scale = e.op("Div", largest, e.scalar(127.0))
        levels = e.op("Div", rows, scale)
        coarse = e.op("Round", levels)
        fine = e.op("Round", e.op("Mul", e.op("Sub", levels, coarse), e.scalar(_FINER)))
        q = e.cast(e.op("Add", e.op("Concat", coarse, fine, axis=0), e.scalar(float(_MIDDLE))), UINT8)
        scales = e.op("Concat", scale, e.op("Div", scale, e.scalar(_FINER)), axis=0)
        e.in_integers[x] = q, scales, e.byte(_MIDDLE)
    return e.in_integers[x]


def _windows(e: Emitter, q: str, kernel: int, stride: int) -> str:
    """(b, h, w, c), padded → (b, h', w', kernel²·c): what the kernel sees at each place.

    A lookup: the places of a picture are numbered, and each window is the numbers from its first place on.
    """
    size = e.op("Shape", q, start=1, end=3)
    count = e.op("ReduceProd", size, keepdims=0)
    numbers = e.op("Reshape", e.op("Range", e.int_scalar(0), count, e.int_scalar(1)), size)
    last = 1 - kernel or _END  # the last window begins where the kernel still fits
    first = e.op("Slice", numbers, e.ints(0, 0), e.ints(last, last), e.ints(0, 1), e.ints(stride, stride))
    down, right = (e.ints(*(at[axis] for at in np.ndindex(kernel, kernel))) for axis in (0, 1))
    from_first = e.op("Add", e.op("Mul", e.op("Shape", q, start=2, end=3), down), right)
    places = e.op("Add", e.op("Unsqueeze", first, e.ints(2)), from_first)
    channels = e.op("Shape", q, start=3, end=4)
    flat = e.op("Reshape", q, e.op("Concat", e.ints(0, -1), channels, axis=0))
    return e.op("Reshape", e.op("Gather", flat, places, axis=1), e.ints(0, 0, 0, -1))


def _product_of_halves(e: Emitter, taken: tuple[str, str, str], weight: Matrix, *bias: str) -> str:
    """What was quantised in two halves times a weight: one product, so that the weight is read once."""
    q, scales, zero = taken
    both = e.op("Mul", _product(e, (q, e.scalar(1.0), zero), weight), scales)
    y = e.op("ReduceSum", both, e.ints(0), keepdims=0)
    return e.op("Add", y, *bias) if bias else y


def _product(e: Emitter, taken: tuple[str, str, str], weight: Matrix, *bias: str) -> str:
    """A quantised value times a quantised weight, in float; weights are symmetric, and have no zero points."""
    q, scale, zero = taken
    return e.contrib("MatMulIntegerToFloat", q, weight.weight, scale, weight.scale, zero, "", *bias)
