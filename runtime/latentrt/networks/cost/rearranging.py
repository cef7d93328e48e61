"""Shapes of operators that move elements and compute nothing (https://onnx.ai/onnx/operators/)."""

import math
from collections.abc import Sequence

import numpy as np

from latentrt.networks.cost.tensors import Array, Node, Result, Tensor, ghost, moved, with_data


def reshape(node: Node) -> Result:
    """0 keeps a size, -1 takes what is left."""
    x = node.array(0)
    wanted = node.ints(1, "shape") or []
    keep = not node.attributes.get("allowzero", 0)
    sizes = [x.shape[i] if size == 0 and keep else size for i, size in enumerate(wanted)]
    return moved(node, x.reshape(sizes)) if node.is_known else [ghost(_fill(x, sizes), x.dtype)]


def _fill(x: Array, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes with the one that is -1 found."""
    total, others = math.prod(x.shape), math.prod(s for s in sizes if s != -1)
    shape = tuple(total // others if size == -1 else size for size in sizes)
    if math.prod(shape) != total:
        raise ValueError(f"{x.shape} does not reshape to {tuple(sizes)}")
    return shape


def flatten(node: Node) -> Result:
    """Two dimensions of all."""
    x = node.array(0)
    axis = int(node.attributes.get("axis", 1))
    axis += x.ndim if axis < 0 else 0
    return [ghost((math.prod(x.shape[:axis]), math.prod(x.shape[axis:])), x.dtype)]


def squeeze(node: Node) -> Result:
    """Without dimensions of size 1."""
    axes = node.ints(1, "axes")
    return moved(node, np.squeeze(node.array(0), None if axes is None else tuple(axes)))


def unsqueeze(node: Node) -> Result:
    """With more of them."""
    return moved(node, np.expand_dims(node.array(0), tuple(node.ints(1, "axes") or [])))


def transpose(node: Node) -> Result:
    """Dimensions in another order."""
    axes = node.attributes.get("perm")
    return moved(node, np.transpose(node.array(0), None if axes is None else list(axes)))


def expand(node: Node) -> Result:
    """Broadcast to a shape."""
    x = node.array(0)
    return moved(node, np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(node.ints(1, "shape") or []))))


def tile(node: Node) -> Result:
    """Repeated."""
    x, repeats = node.array(0), node.ints(1, "repeats") or []
    if len(repeats) != x.ndim:
        raise ValueError(f"{len(repeats)} repeats")
    return [ghost([size * times for size, times in zip(x.shape, repeats, strict=True)], x.dtype)]


def slice_(node: Node) -> Result:
    """A part of each dimension, with steps."""
    x = node.array(0)
    starts, ends = node.ints(1, "starts") or [], node.ints(2, "ends") or []
    axes, steps = node.ints(3, "axes"), node.ints(4, "steps")
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else axes,
        starts,
        ends,
        [1] * len(starts) if steps is None else steps,
        strict=True,
    ):
        if step < 0 and start < -x.shape[axis]:
            start = 0  # ONNX begins at the first element then, numpy before it
        cuts[axis] = slice(start, end, step)
    return moved(node, x[tuple(cuts)])


def concat(node: Node) -> Result:
    """One behind the other."""
    arrays, axis = [t.array for t in node.inputs if t is not None], int(node.attributes["axis"])
    if node.is_known:
        return with_data(np.concatenate(arrays, axis))
    others = {tuple(np.delete(a.shape, axis)) for a in arrays}
    if len(others) != 1:
        raise ValueError("sizes differ")
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    return [ghost(shape, arrays[0].dtype)]


def split(node: Node) -> Result:
    """In parts, given or equal; the last may be smaller."""
    x, axis = node.array(0), int(node.attributes.get("axis", 0))
    sizes = node.ints(1, "split")
    if sizes is None:
        part = math.ceil(x.shape[axis] / len(node.outputs))
        starts = range(0, part * len(node.outputs), part)
        sizes = [max(0, min(part, x.shape[axis] - start)) for start in starts]
    if sum(sizes) != x.shape[axis] or len(sizes) != len(node.outputs):
        raise ValueError(f"split into {sizes}")
    parts = np.split(x, np.cumsum(sizes)[:-1], axis)
    return [Tensor(part, is_known=True) for part in parts] if node.is_known else parts


def gather(node: Node) -> Result:
    """Elements of one dimension, by index."""
    x, indices, axis = node.array(0), node.array(1), int(node.attributes.get("axis", 0)) % node.array(0).ndim
    if node.is_known:
        return with_data(np.take(x, indices, axis))
    return [ghost(x.shape[:axis] + indices.shape + x.shape[axis + 1 :], x.dtype)]


def gather_nd(node: Node) -> Result:
    """Elements or blocks, by tuples of indices."""
    x, indices = node.array(0), node.array(1)
    batch = int(node.attributes.get("batch_dims", 0))
    return [ghost(indices.shape[:-1] + x.shape[batch + indices.shape[-1] :], x.dtype)]


def like_indices(node: Node) -> Result:
    """One element for each index."""
    return [ghost(node.array(1).shape, node.array(0).dtype)]


def pad(node: Node) -> Result:
    """With a border."""
    x, pads, axes = node.array(0), node.ints(1, "pads") or [], node.ints(3, "axes")
    axes = list(range(x.ndim)) if axes is None else axes
    shape = list(x.shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        shape[axis] += before + after
    return [ghost(shape, x.dtype)]
