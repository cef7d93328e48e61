"""What shape each ONNX operator gives (https://onnx.ai/onnx/operators/), and data where shapes are made of them.

A rule takes a node and gives its outputs in order: a `Tensor` with data, or an array that stands for shape and type.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from latentrt.errors import GraphError
from latentrt.networks.cost import products, rearranging
from latentrt.networks.cost.tensors import (
    ELEMENTS,
    MAX_KNOWN,
    Array,
    Node,
    Result,
    Rule,
    Tensor,
    ghost,
    moved,
    with_data,
)


def _broadcast(compute: Callable[..., Any] | None = None, dtype: Any = None, like: int = 0) -> Rule:
    """Element by element over all inputs; `like`: the input that has the output's type."""

    def rule(node: Node) -> Result:
        arrays = [t.array for t in node.inputs if t is not None]
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        kind = node.array(like).dtype if dtype is None else dtype
        if compute is not None and node.is_known and math.prod(shape) <= MAX_KNOWN:
            with np.errstate(all="ignore"):
                return with_data(compute(*arrays), kind)
        return [ghost(shape, kind)]

    return rule


def _fold(compute: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Any number of inputs, two at a time."""

    def all_of(first: Any, *others: Any) -> Any:
        for other in others:
            first = compute(first, other)
        return first

    return all_of


def _divide(a: Array, b: Array) -> Array:
    quotient: Array = a / b if a.dtype.kind == "f" else np.trunc(a / b)
    return quotient


def _like_first(node: Node) -> Result:
    x = node.array(0)
    return [ghost(x.shape, x.dtype)]


def _layer_norm(node: Node) -> Result:
    x = node.array(0)
    axis = int(node.attributes.get("axis", -1)) % x.ndim
    statistics = x.shape[:axis] + (1,) * (x.ndim - axis)
    return [ghost(x.shape, x.dtype), ghost(statistics, np.float32), ghost(statistics, np.float32)]


def _dropout(node: Node) -> Result:
    return [node.tensor(0) if node.is_known else node.array(0), ghost(node.array(0).shape, np.bool_)]


def _cast(node: Node) -> Result:
    dtype = ELEMENTS.get(int(node.attributes["to"]))
    if dtype is None:
        raise GraphError(f"{node.label}: casts to ONNX type {node.attributes['to']}, unknown here")
    if node.is_known and dtype.kind != "V" and node.array(0).dtype.kind != "V":
        return with_data(node.array(0).astype(dtype))
    return [ghost(node.array(0).shape, dtype)]


def _cast_like(node: Node) -> Result:
    return [ghost(node.array(0).shape, node.array(1).dtype)]


def _shape(node: Node) -> Result:
    shape = node.array(0).shape
    end = node.attributes.get("end")
    return with_data(
        shape[int(node.attributes.get("start", 0)) : None if end is None else int(end)], np.int64
    )


def _constant(node: Node) -> Result:
    (name, value) = next(iter(node.attributes.items()))
    if name == "value":
        return [value if value.is_known else value.array]
    kinds = {
        "value_int": np.int64,
        "value_ints": np.int64,
        "value_float": np.float32,
        "value_floats": np.float32,
    }
    return with_data(value if name in ("value_int", "value_float") else list(value), kinds[name])


def _constant_of_shape(node: Node) -> Result:
    shape = tuple(int(size) for size in node.known(0))
    value = node.attributes.get("value")
    element = np.zeros(1, np.float32) if value is None else value.array
    return [Tensor(np.broadcast_to(element.reshape(()), shape), is_known=True)]


def _range(node: Node) -> Result:
    start, limit, delta = (node.known(i).item() for i in range(3))
    return with_data(np.arange(start, limit, delta), node.array(0).dtype)


def _non_zero(node: Node) -> Result:
    return with_data(np.array(np.nonzero(node.known(0))), np.int64)


def _one_hot(node: Node) -> Result:
    indices, axis = node.array(0), int(node.attributes.get("axis", -1))
    axis += indices.ndim + 1 if axis < 0 else 0
    depth = int(node.known(1).reshape(()))
    return [ghost((*indices.shape[:axis], depth, *indices.shape[axis:]), node.array(2).dtype)]


def _top_k(node: Node) -> Result:
    x, axis = node.array(0), int(node.attributes.get("axis", -1))
    shape = list(x.shape)
    shape[axis] = int(node.known(1).reshape(()))
    return [ghost(shape, x.dtype), ghost(shape, np.int64)]


def _reduce(compute: Callable[..., Any] | None = None, dtype: Any = None, only_one: bool = False) -> Rule:
    """Over given axes, or all; `only_one`: over the axis that an attribute names."""

    def rule(node: Node) -> Result:
        x = node.array(0)
        if only_one:
            axes: list[int] | None = [int(node.attributes.get("axis", 0))]
        else:
            axes = node.ints(1, "axes")
            if not axes and node.attributes.get("noop_with_empty_axes", 0):
                return _like_first(node)
        over = {axis % x.ndim for axis in axes} if axes else set(range(x.ndim))
        keep = bool(node.attributes.get("keepdims", 1))
        if compute is not None and node.is_known:
            return with_data(compute(x, axis=tuple(over), keepdims=keep), x.dtype)
        shape = [1 if i in over else size for i, size in enumerate(x.shape) if keep or i not in over]
        return [ghost(shape, x.dtype if dtype is None else dtype)]

    return rule


_UNARY = (
    "Acos Acosh Asin Asinh Atan Atanh BatchNormalization BitwiseNot Celu Cos Cosh CumSum Elu Erf Exp Gelu "
    "GroupNormalization HardSigmoid HardSwish Hardmax InstanceNormalization LRN LeakyRelu Log LogSoftmax "
    "LpNormalization MeanVarianceNormalization Mish PRelu RMSNormalization Reciprocal Relu ScatterElements "
    "ScatterND Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Swish Tan Tanh ThresholdedRelu Trilu"
)
RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY.split(), _like_first),
    "Abs": _broadcast(np.abs),
    "Add": _broadcast(np.add),
    "And": _broadcast(np.logical_and, np.bool_),
    "ArgMax": _reduce(dtype=np.int64, only_one=True),
    "ArgMin": _reduce(dtype=np.int64, only_one=True),
    "AveragePool": products.pool,
    "BitwiseAnd": _broadcast(np.bitwise_and),
    "BitwiseOr": _broadcast(np.bitwise_or),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Ceil": _broadcast(np.ceil),
    "Clip": _like_first,
    "Concat": rearranging.concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": products.conv,
    "ConvTranspose": products.conv_transpose,
    "DepthToSpace": products.blocks(to_depth=False),
    "Div": _broadcast(_divide),
    "Dropout": _dropout,
    "DynamicQuantizeLinear": lambda node: [
        ghost(node.array(0).shape, np.uint8),
        ghost((), np.float32),
        ghost((), np.uint8),
    ],
    "Einsum": products.einsum,
    "Equal": _broadcast(np.equal, np.bool_),
    "Expand": rearranging.expand,
    "Flatten": rearranging.flatten,
    "Floor": _broadcast(np.floor),
    "Gather": rearranging.gather,
    "GatherElements": rearranging.like_indices,
    "GatherND": rearranging.gather_nd,
    "Gemm": products.gemm,
    "GlobalAveragePool": products.global_pool,
    "GlobalMaxPool": products.global_pool,
    "Greater": _broadcast(np.greater, np.bool_),
    "GreaterOrEqual": _broadcast(np.greater_equal, np.bool_),
    "Identity": lambda node: moved(node, node.array(0)),
    "IsInf": _broadcast(dtype=np.bool_),
    "IsNaN": _broadcast(dtype=np.bool_),
    "LayerNormalization": _layer_norm,
    "Less": _broadcast(np.less, np.bool_),
    "LessOrEqual": _broadcast(np.less_equal, np.bool_),
    "MatMul": products.matmul,
    "Max": _broadcast(_fold(np.maximum)),
    "MaxPool": products.pool,
    "Mean": _broadcast(),
    "Min": _broadcast(_fold(np.minimum)),
    "Mod": _broadcast(np.mod),
    "Mul": _broadcast(np.multiply),
    "Neg": _broadcast(np.negative),
    "NonZero": _non_zero,
    "Not": _broadcast(np.logical_not, np.bool_),
    "OneHot": _one_hot,
    "Or": _broadcast(np.logical_or, np.bool_),
    "Pad": rearranging.pad,
    "Pow": _broadcast(np.power),
    "Range": _range,
    **dict.fromkeys(
        ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceSumSquare"],
        _reduce(),
    ),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": rearranging.reshape,
    "Resize": products.resize,
    "Round": _broadcast(np.round),
    "Shape": _shape,
    "Size": lambda node: with_data(math.prod(node.array(0).shape), np.int64),
    "Slice": rearranging.slice_,
    "SpaceToDepth": products.blocks(to_depth=True),
    "Split": rearranging.split,
    "Sqrt": _broadcast(np.sqrt),
    "Squeeze": rearranging.squeeze,
    "Sub": _broadcast(np.subtract),
    "Sum": _broadcast(_fold(np.add)),
    "Tile": rearranging.tile,
    "TopK": _top_k,
    "Transpose": rearranging.transpose,
    "Unsqueeze": rearranging.unsqueeze,
    "Upsample": products.resize,
    "Where": _broadcast(np.where, like=1),
    "Xor": _broadcast(np.logical_xor, np.bool_),
}
# Of ONNX Runtime's own, those that our builders write.
CONTRIBUTED: dict[str, Rule] = {
    "FusedMatMul": products.matmul,
    "MatMulIntegerToFloat": lambda node: [ghost(products.matmul(node)[0].shape, np.float32)],
    "MultiHeadAttention": products.attention,
}
