"""Layers in integers: 8-bit weights with a scale for each output, inputs quantised as they come.

Weights are symmetric, made of the checkpoint's own tensors when a network is loaded; nothing is calibrated. What a
layer is given is quantised to unsigned numbers with one scale and zero point for the whole array
(`DynamicQuantizeLinear`), and products are summed exactly in 32 bits (`MatMulIntegerToFloat`). Arrays are
channels-last: then a convolution is one product over the windows of the quantised picture, and pixels are tokens as
they lie.

Which layers stay in float is said here, in `stays_float`, and nowhere else.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.networks.emitter import Emitter

LEVELS = 63  # the largest weight: seven bits, see `quantize`
_AT_ONCE = 64  # outputs that are widened at a time
_END = 2**63 - 1

# Modules whose layers are computed in float: docs/int8.md says what each gains and costs.
_FLOAT = frozenset(("conv_in", "conv_out", "conv_shortcut", "time_embedding", "add_embedding"))
_TEXT = (
    "attn2.to_k",
    "attn2.to_v",
)  # of the text, whose first row CLIP makes many times larger than the others


def is_wanted(e: Emitter) -> bool:
    """Whether the layer of the current module is computed in integers."""
    return e.variant.compute == "int8" and not stays_float(e.path)


def stays_float(path: str) -> bool:
    """Whether the layer of a module, "down_blocks.0.resnets.0.conv1", is computed in float in an int8 network."""
    return not _FLOAT.isdisjoint(path.split(".")) or path.endswith(_TEXT)


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


def linear(e: Emitter, x: str, n_in: int, n_out: int, bias: bool = True, parts: int = 1) -> list[str]:
    """(…, n_in) → `parts` of (…, n_out / parts), of the module whose scope it stands in."""
    return _product(e, *quantized(e, x), e.quantized("weight", (n_out, n_in), parts), bias, n_out)


def conv(
    e: Emitter, x: str, n_in: int, n_out: int, kernel: int, stride: int, pads: tuple[int, int], bias: bool = True
) -> str:  # fmt: skip
    """(b, h, w, n_in) → (b, h', w', n_out): the windows of the quantised picture, then one product."""
    q, scale, zero = quantized(e, x)
    weight = e.quantized("weight", (n_out, n_in, kernel, kernel), 1)
    if kernel > 1 or pads != (0, 0):
        before, after = pads
        q = e.op("Pad", q, e.ints(0, before, before, 0, 0, after, after, 0), zero)
    if kernel > 1 or stride > 1:
        q = _windows(e, q, kernel, stride)
    (y,) = _product(e, q, scale, zero, weight, bias, n_out)
    return y


def quantized(e: Emitter, x: str) -> tuple[str, str, str]:
    """A value in uint8, its scale and zero point; of a value that several layers take, once."""
    if x not in e.in_integers:
        made = e.ops("DynamicQuantizeLinear", 3, x)
        e.in_integers[x] = made[0], made[1], made[2]
    return e.in_integers[x]


def resampled(e: Emitter, x: str, resample: Callable[[str], str]) -> str:
    """A picture whose pixels are repeated, for a layer in integers: of its bytes, under the same scale."""
    q, scale, zero = quantized(e, x)
    y = resample(q)
    e.in_integers[y] = y, scale, zero
    return y


def _windows(e: Emitter, q: str, kernel: int, stride: int) -> str:
    """(b, h, w, c), padded → (b, h', w', kernel²·c): what the kernel sees at each place."""
    rows = []
    for y in range(kernel):
        for x in range(kernel):
            # The last begins where the kernel still fits: as many before the end as it is wide behind its own place.
            ends = [y - kernel + 1 or _END, x - kernel + 1 or _END]
            rows.append(e.op("Slice", q, e.ints(y, x), e.ints(*ends), e.ints(1, 2), e.ints(stride, stride)))
    return e.op("Concat", *rows, axis=3)


def _product(
    e: Emitter, q: str, scale: str, zero: str, weights: list[tuple[str, str]], bias: bool, n_out: int
) -> list[str]:
    zeros = ""  # weights are symmetric
    biases = [e.param("bias", n_out)] if bias else []
    if bias and len(weights) > 1:
        biases = e.ops("Split", len(weights), biases[0], axis=0, num_outputs=len(weights))
    return [
        e.contrib("MatMulIntegerToFloat", q, weight, scale, factor, zero, zeros, *biases[index : index + 1])
        for index, (weight, factor) in enumerate(weights)
    ]
