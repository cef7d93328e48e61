"""Shapes of products of matrices, convolutions and other windows, and how many MACs they take."""

import math
from collections.abc import Sequence

import numpy as np

from latentrt.errors import GraphError
from latentrt.networks.cost.tensors import Node, Result, Rule, Tensor, ghost


def matmul(node: Node) -> Result:
    """Products of matrices, broadcast over what stands before them; of FusedMatMul's turns, that of a second matrix."""
    a, b = node.array(0), node.array(1)
    b = b.swapaxes(-1, -2) if node.attributes.get("transB", 0) else b
    left = (1, *a.shape) if a.ndim == 1 else a.shape
    right = (*b.shape, 1) if b.ndim == 1 else b.shape
    if left[-1] != right[-2]:
        raise ValueError(f"{left[-1]} against {right[-2]}")
    rows = () if a.ndim == 1 else (left[-2],)
    columns = () if b.ndim == 1 else (right[-1],)
    return [ghost((*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns), a.dtype)]


def gemm(node: Node) -> Result:
    """One product of two matrices."""
    a, b = node.array(0), node.array(1)
    a = a.T if node.attributes.get("transA", 0) else a
    b = b.T if node.attributes.get("transB", 0) else b
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"{a.shape[1]} against {b.shape[0]}")
    return [ghost((a.shape[0], b.shape[1]), a.dtype)]


def einsum(node: Node) -> Result:
    """As its equation says."""
    sizes, output = einsum_sizes(node)
    return [ghost([sizes[letter] for letter in output], node.array(0).dtype)]


def einsum_sizes(node: Node) -> tuple[dict[str, int], str]:
    """The size of each letter of an Einsum, and the letters of its output."""
    terms, _, output = node.attributes["equation"].replace(" ", "").partition("->")
    if "->" not in node.attributes["equation"] or "." in terms:
        raise GraphError(f"{node.label}: Einsum without -> or with an ellipsis is not known here")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms.split(","), node.inputs, strict=True):
        for letter, size in zip(term, tensor.shape if tensor is not None else (), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"{letter} is {sizes[letter]} and {size}")
    return sizes, output


def attention(node: Node) -> Result:
    """Queries (b, s, w), keys (b, t, w), values (b, t, v) → (b, s, v)."""
    q, k, v = (node.array(i) for i in range(3))
    if q.shape[2] != k.shape[2] or k.shape[:2] != v.shape[:2]:
        raise ValueError("keys fit neither queries nor values")
    return [ghost((*q.shape[:2], v.shape[2]), q.dtype)]


def _window(node: Node, kernel: Sequence[int]) -> list[int]:
    """Sizes that a window of that kernel gives, sliding over the first input."""
    sizes = node.array(0).shape[2:]
    strides = node.attributes.get("strides", [1] * len(kernel))
    dilations = node.attributes.get("dilations", [1] * len(kernel))
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        return [math.ceil(size / stride) for size, stride in zip(sizes, strides, strict=True)]
    pads = [0] * 2 * len(kernel)
    if automatic == "NOTSET":
        pads = list(node.attributes.get("pads", pads))
    result = []
    for i, size in enumerate(sizes):
        before, after = pads[i], pads[i + len(kernel)]
        room = size + before + after - (kernel[i] - 1) * dilations[i] - 1
        count = room // strides[i] + 1
        if node.attributes.get("ceil_mode", 0):
            count = -(-room // strides[i]) + 1
            # a window that would begin in the padding behind is left out
            count -= (count - 1) * strides[i] >= size + before
        if count < 0 or room < 0:
            raise ValueError(f"kernel {list(kernel)} is larger than the picture")
        result.append(count)
    return result


def conv(node: Node) -> Result:
    """A convolution, of any number of dimensions."""
    x, weight = node.array(0), node.array(1)
    if x.shape[1] != weight.shape[1] * int(node.attributes.get("group", 1)):
        raise ValueError(f"{x.shape[1]} channels for a weight of {weight.shape}")
    return [ghost((x.shape[0], weight.shape[0], *_window(node, weight.shape[2:])), x.dtype)]


def conv_transpose(node: Node) -> Result:
    """A transposed convolution."""
    x, weight = node.array(0), node.array(1)
    kernel = weight.shape[2:]
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise GraphError(f"{node.label}: auto_pad is not known here")
    get = node.attributes.get
    strides, dilations = get("strides", [1] * len(kernel)), get("dilations", [1] * len(kernel))
    pads, extra = get("pads", [0] * 2 * len(kernel)), get("output_padding", [0] * len(kernel))
    sizes = list(get("output_shape", []))
    for i, size in enumerate(x.shape[2:] if not sizes else ()):
        cut = pads[i] + pads[i + len(kernel)]
        sizes.append(strides[i] * (size - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1 - cut)
    return [ghost((x.shape[0], weight.shape[1] * int(get("group", 1)), *sizes), x.dtype)]


def pool(node: Node) -> Result:
    """Pooling; the second output is the indices."""
    x = node.array(0)
    shape = (*x.shape[:2], *_window(node, node.attributes["kernel_shape"]))
    return [ghost(shape, x.dtype), ghost(shape, np.int64)]


def global_pool(node: Node) -> Result:
    """One element a channel."""
    x = node.array(0)
    return [ghost((*x.shape[:2], *[1] * (x.ndim - 2)), x.dtype)]


def resize(node: Node) -> Result:
    """By sizes or by scales."""
    x = node.array(0)
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise GraphError(f"{node.label}: keep_aspect_ratio_policy is not known here")
    axes = node.attributes.get("axes", range(x.ndim))
    shape = list(x.shape)
    scales = 1 if node.operator == "Upsample" or node.opset < 11 else 2
    if node.has(3) and node.array(3).size:
        for axis, size in zip(axes, node.known(3), strict=True):
            shape[axis] = int(size)
    else:
        for axis, scale in zip(axes, node.known(scales), strict=True):
            shape[axis] = math.floor(np.float32(scale) * np.float32(shape[axis]))  # as ONNX Runtime rounds
    return [ghost(shape, x.dtype)]


def blocks(to_depth: bool) -> Rule:
    """Pixels into channels, or back."""

    def rule(node: Node) -> Result:
        b, c, h, w = node.array(0).shape
        size = int(node.attributes["blocksize"])
        shape = (b, c * size**2, h // size, w // size) if to_depth else (b, c // size**2, h * size, w * size)
        return [ghost(shape, node.array(0).dtype)]

    return rule


def macs(node: Node, output: Tensor) -> tuple[str, int]:
    """What kind of product a node is, and its MACs."""
    size = math.prod(output.shape)
    if node.operator == "Conv":
        return "conv", size * math.prod(node.array(1).shape[1:])
    # Each element of the input meets the kernel of every channel in its group.
    if node.operator == "ConvTranspose":
        return "conv", math.prod(node.array(0).shape) * math.prod(node.array(1).shape[1:])
    if node.operator == "MultiHeadAttention":
        batch, rows, width = node.array(0).shape
        return "attention", batch * rows * node.array(1).shape[1] * (width + node.array(2).shape[2])
    if node.operator in ("MatMul", "FusedMatMul", "MatMulIntegerToFloat"):
        count = size * node.array(0).shape[-1]
    elif node.operator == "Gemm":
        count = size * node.array(0).shape[0 if node.attributes.get("transA", 0) else 1]
    elif node.operator == "Einsum":
        count = math.prod(einsum_sizes(node)[0].values()) if len(node.inputs) == 2 else 0
    else:
        return "none", 0
    return ("linear" if any(node.tensor(i).is_constant for i in (0, 1)) else "attention"), count
