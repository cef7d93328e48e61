"""The layers that the networks of a latent diffusion model share, as ONNX nodes.

Pictures are (b, c, h, w), as the docstrings say; where the emitter is told to keep channels last, (b, h, w, c).

Every shape that depends on batch, height, width or sequence is read from the tensors when the graph runs; a Reshape
uses 0 (keep this axis) and -1 (what is left) instead of computed sizes wherever that says it.
"""

from dataclasses import dataclass

from latentrt.networks import int8
from latentrt.networks.emitter import Emitter
from latentrt.networks.norms import NORMS
from latentrt.networks.proto import FLOAT


def linear(e: Emitter, x: str, name: str, n_in: int, n_out: int, bias: bool = True) -> str:
    """(…, n_in) → (…, n_out), torch.nn.Linear."""
    with e.scope(name):
        if int8.is_wanted(e):
            return int8.linear(e, x, n_in, n_out, bias)[0]
        y = e.op("MatMul", x, e.op("Transpose", e.param("weight", n_out, n_in), perm=[1, 0]))
        return e.op("Add", y, e.param("bias", n_out)) if bias else y


def halves(e: Emitter, x: str, name: str, n_in: int, n_out: int) -> tuple[str, str]:
    """(…, n_in) → two of (…, n_out), the first and the second half of what one torch.nn.Linear gives."""
    with e.scope(name):
        if int8.is_wanted(e):
            first, second = int8.linear(e, x, n_in, 2 * n_out, outputs=2)
            return first, second
    first, second = e.ops("Split", 2, linear(e, x, name, n_in, 2 * n_out), axis=-1, num_outputs=2)
    return first, second


def conv(
    e: Emitter, x: str, name: str, n_in: int, n_out: int, kernel: int = 3, stride: int = 1,
    pads: tuple[int, int] | None = None, bias: bool = True,
) -> str:  # fmt: skip
    """(b, n_in, h, w) → (b, n_out, h', w'), torch.nn.Conv2d. `pads`: before and after, on both axes."""
    before, after = (kernel // 2, kernel // 2) if pads is None else pads
    with e.scope(name):
        if int8.is_wanted(e):
            return int8.conv(e, x, n_in, n_out, kernel, stride, (before, after), bias)
        if e.channels_last and (kernel, stride) == (1, 1):
            return _pixel_product(e, x, n_in, n_out, bias)
        y = e.op(
            "Conv",
            channels_first(e, x),
            e.param("weight", n_out, n_in, kernel, kernel),
            *([e.param("bias", n_out)] if bias else []),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
        )
        return from_channels_first(e, y)


def _pixel_product(e: Emitter, x: str, n_in: int, n_out: int, bias: bool) -> str:
    """(b, h, w, n_in) → (b, h, w, n_out): a convolution of one pixel, where channels are last."""
    weight = e.op("Reshape", e.param("weight", n_out, n_in, 1, 1), e.ints(n_out, n_in))
    y = e.op("MatMul", x, e.op("Transpose", weight, perm=[1, 0]))
    return e.op("Add", y, e.param("bias", n_out)) if bias else y


def group_norm(e: Emitter, x: str, name: str, channels: int, groups: int, eps: float) -> str:
    """(b, channels, h, w), torch.nn.GroupNorm.

    Over (b, groups, rest), with the moments that the variant says.
    """
    with e.scope(name):
        x = channels_first(e, x)
        grouped = e.op("Reshape", x, e.ints(0, groups, -1))
        normed = NORMS[e.variant.norms](e, grouped, groups, eps)
        y = e.op("Reshape", normed, e.op("Shape", x))
        weight, bias = (e.op("Unsqueeze", e.param(one, channels), e.ints(1, 2)) for one in ("weight", "bias"))
        return from_channels_first(e, e.op("Add", e.op("Mul", y, weight), bias))


def channels_first(e: Emitter, x: str) -> str:
    """A picture as ONNX's own operators take it, and as every port is: (b, c, h, w)."""
    if not e.channels_last:
        return x
    match e.put_off(x):
        case source, move if isinstance(move, _FromFirst):
            return source
    return e.op("Transpose", x, perm=[0, 3, 1, 2])


def from_channels_first(e: Emitter, x: str) -> str:
    """A picture (b, c, h, w) as the emitter keeps them."""
    return e.later(x, _FromFirst(e)) if e.channels_last else x


@dataclass(frozen=True)
class _FromFirst:
    e: Emitter

    def __call__(self, x: str) -> str:
        return self.e.op("Transpose", x, perm=[0, 2, 3, 1])


def join(e: Emitter, *pictures: tuple[str, int]) -> str:
    """All their channels, so many of each, in one picture."""
    y = e.op("Concat", *(picture for picture, _ in pictures), axis=3 if e.channels_last else 1)
    e.joined[y] = pictures
    return y


def layer_norm(e: Emitter, x: str, name: str, width: int, eps: float) -> str:
    """(…, width), torch.nn.LayerNorm."""
    with e.scope(name):
        weight, bias = e.param("weight", width), e.param("bias", width)
        return e.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)


def silu(e: Emitter, x: str) -> str:
    """X · σ(x)."""
    if (moved := e.put_off(x)) is not None:
        source, move = moved
        return e.later(silu(e, source), move)
    return e.op("Mul", x, e.op("Sigmoid", x))


def attention(
    e: Emitter, q: str, k: str, v: str, heads: int, width: int, mask: str | None = None, upcast: bool = False
) -> str:
    """softmax(q·kᵀ / √d + mask)·v over `heads` of d = width / heads.

    q: (b, s, width), k and v: (b, t, width), mask: added to (b, heads, s, t) → (b, s, width).
    The queries are scaled before the product: in fp16 the other order overflows sooner.
    With `upcast`, products and softmax are in float32 whatever the graph computes in.
    """
    dim = width // heads
    scale = dim**-0.5
    if e.variant.fused_attention and heads > 1 and mask is None and not (upcast and e.is_half):
        return e.contrib("MultiHeadAttention", q, k, v, num_heads=heads, scale=scale)
    if heads == 1:  # no axis for it: one product of matrices, as the VAE has it
        key = e.op("Transpose", k, perm=[0, 2, 1])
    else:
        split = e.ints(0, 0, heads, dim)
        q = e.op("Transpose", e.op("Reshape", q, split), perm=[0, 2, 1, 3])
        key = e.op("Transpose", e.op("Reshape", k, split), perm=[0, 2, 3, 1])
        v = e.op("Transpose", e.op("Reshape", v, split), perm=[0, 2, 1, 3])
    if upcast and e.is_half:
        q, key = e.cast(q, FLOAT), e.cast(key, FLOAT)
        factor = e.floats32(f"float32({scale!r})", [scale])
    else:
        upcast = False
        factor = e.scalar(scale)
    scores = e.op("MatMul", e.op("Mul", q, factor), key)
    if mask is not None:
        scores = e.op("Add", scores, mask)
    weights = e.op("Softmax", scores, axis=-1)
    if upcast:
        weights = e.cast(weights, e.float_type)
    y = e.op("MatMul", weights, v)
    if heads == 1:
        return y
    return e.op("Reshape", e.op("Transpose", y, perm=[0, 2, 1, 3]), e.ints(0, 0, width))


def tokens(e: Emitter, x: str, width: int) -> str:
    """(b, width, h, w) → (b, h·w, width): a token for each pixel."""
    if e.channels_last:
        return e.later(x, lambda x: e.op("Reshape", x, e.ints(0, -1, width)))
    return e.op("Transpose", e.op("Reshape", x, e.ints(0, width, -1)), perm=[0, 2, 1])


def pixels(e: Emitter, h: str, width: int, like: str, channels: int) -> str:
    """(b, h·w, width) → (b, width, h, w), the height and width of `like`, (b, channels, h, w)."""
    if e.channels_last:
        shape = e.op("Shape", like)
        if width != channels:
            shape = e.op("Concat", e.op("Slice", shape, e.ints(0), e.ints(3)), e.ints(width), axis=0)
        return e.op("Reshape", h, shape)
    h = e.op("Transpose", h, perm=[0, 2, 1])
    shape = e.op("Shape", like)
    if width != channels:
        batch, size = (e.op("Slice", shape, e.ints(begin), e.ints(end)) for begin, end in ((0, 1), (2, 4)))
        shape = e.op("Concat", batch, e.ints(width), size, axis=0)
    return e.op("Reshape", h, shape)


def pixel_attention(e: Emitter, x: str, name: str, width: int, heads: int, groups: int, eps: float) -> str:
    """(b, width, h, w) → (b, width, h, w): all pixels to all pixels, beside a residual connection.

    diffusers' Attention as its AutoencoderKL and UNet2DModel make it.
    """
    with e.scope(name):
        h = group_norm(e, x, "group_norm", width, groups, eps)
        h = tokens(e, h, width)
        q, k, v = (linear(e, h, name, width, width) for name in ("to_q", "to_k", "to_v"))
        h = linear(e, attention(e, q, k, v, heads, width), "to_out.0", width, width)
        return e.op("Add", pixels(e, h, width, x, width), x)


def resnet(
    e: Emitter, x: str, name: str, n_in: int, n_out: int, groups: int, eps: float,
    temb: str | None = None, temb_width: int = 0, output_scale: float = 1.0,
) -> str:  # fmt: skip
    """(b, n_in, h, w) → (b, n_out, h, w), diffusers' ResnetBlock2D. `temb`: SiLU of the embedded time, (1, ·)."""
    with e.scope(name):
        # First, so that x, the largest array of a decoder, is not held until the end for its sake.
        residual = x if n_in == n_out else conv(e, x, "conv_shortcut", n_in, n_out, kernel=1)
        h = conv(e, silu(e, group_norm(e, x, "norm1", n_in, groups, eps)), "conv1", n_in, n_out)
        if temb is not None:
            shift = linear(e, temb, "time_emb_proj", temb_width, n_out)
            h = e.op("Add", h, e.op("Unsqueeze", shift, e.ints(1, 2) if e.channels_last else e.ints(2, 3)))
        h = conv(e, silu(e, group_norm(e, h, "norm2", n_out, groups, eps)), "conv2", n_out, n_out)
        y = e.op("Add", residual, h)
        return y if output_scale == 1.0 else e.op("Div", y, e.scalar(output_scale))


def upsample(e: Emitter, x: str, name: str, channels: int, like: str | None = None) -> str:
    """Twice the height and width by nearest neighbours, or exactly those of `like`, then a convolution."""
    with e.scope(name):
        larger = e.later(x, lambda x: nearest(e, x, like))
        return conv(e, larger, "conv", channels, channels)


def nearest(e: Emitter, x: str, like: str | None = None) -> str:
    """Twice the height and width, or exactly those of `like`, torch's interpolate(mode="nearest")."""
    if like is None:
        twice = ("twice_last", [1, 2, 2, 1]) if e.channels_last else ("twice", [1, 1, 2, 2])
        size = ["", e.floats32(*twice)]  # region of interest, scales
    elif e.channels_last:
        begin, middle, end = (
            e.op("Shape", of, start=first, end=first + count)
            for of, first, count in ((x, 0, 1), (like, 1, 2), (x, 3, 1))
        )
        size = ["", "", e.op("Concat", begin, middle, end, axis=0)]
    else:
        sizes = e.op("Concat", e.op("Shape", x, start=0, end=2), e.op("Shape", like, start=2, end=4), axis=0)
        size = ["", "", sizes]
    return e.op(
        "Resize", x, *size,
        mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
