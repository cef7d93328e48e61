"""Group norms: whose mean and deviation they take.

A group norm takes both over all pixels; over a tile of a picture they differ, and with them the colours, tile by tile.
So a network that sees a picture in tiles is built twice: once its norms tell their moments on a tile, and once they are
given those of the whole picture. What is told and given bears the norm's path: `decoder.conv_norm_out.mean`.
"""

from collections.abc import Callable

from latentrt.networks.emitter import Emitter
from latentrt.networks.proto import FLOAT
from latentrt.networks.variant import Norms

MEAN, SQUARE, VARIANCE = ".mean", ".square", ".variance"  # what a port's name ends with


def _own(e: Emitter, x: str, groups: int, eps: float) -> str:
    """(b, groups, rest), as an instance norm.

    Of the forms that ONNX offers the fastest on the CPU provider (docs/networks.md), and one whose statistics every
    provider computes in float32, also for fp16.
    """
    return e.op("InstanceNormalization", x, e.fill(groups, 1.0), e.fill(groups, 0.0), epsilon=eps)


def _told(e: Emitter, x: str, groups: int, eps: float) -> str:
    """Likewise, with the means of x and of x², float32 (1, groups, 1), as outputs; for one picture at a time."""
    wide = e.cast(x, FLOAT) if e.is_half else x
    # x·x as a product of matrices: it needs no memory for the squares.
    total = e.op("MatMul", e.op("Unsqueeze", wide, e.ints(2)), e.op("Unsqueeze", wide, e.ints(3)))
    count = e.cast(e.op("Shape", x, start=2, end=3), FLOAT)
    square = e.op("Div", e.op("Squeeze", total, e.ints(3)), count)
    e.output(e.path + MEAN, e.op("ReduceMean", wide, e.ints(2)), (1, groups, 1), FLOAT)
    e.output(e.path + SQUARE, square, (1, groups, 1), FLOAT)
    return _own(e, x, groups, eps)


def _given(e: Emitter, x: str, groups: int, eps: float) -> str:
    """(x - mean) / √(variance + ε), both inputs, float32 (1, groups, 1)."""
    mean, variance = (e.input(e.path + of, (1, groups, 1), FLOAT) for of in (MEAN, VARIANCE))
    scale = e.op("Reciprocal", e.op("Sqrt", e.op("Add", variance, e.floats32(f"float32({eps!r})", [eps]))))
    if e.is_half:
        mean, scale = e.cast(mean, e.float_type), e.cast(scale, e.float_type)
    return e.op("Mul", e.op("Sub", x, mean), scale)


NORMS: dict[Norms, Callable[[Emitter, str, int, float], str]] = {
    "own": _own,
    "told": _told,
    "given": _given,
}
