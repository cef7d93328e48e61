"""Enlarge latents as torch's `F.interpolate` or ComfyUI does, pictures as Pillow does, under AUTOMATIC1111's names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from latentrt.errors import InputError

Array = npt.NDArray[Any]

# What is done where the second pass has other proportions: they are refused; the middle is cut out before, as ComfyUI
# does; all is enlarged till it covers the size, and the middle of the latents cut out behind, as AUTOMATIC1111 does; or
# it is stretched.
Fit: TypeAlias = Literal["refused", "before", "behind", "stretched"]


@dataclass(frozen=True)
class Upscaler:
    """A way to enlarge.

    Attributes:
        label: AUTOMATIC1111's name.
        mode: of `enlarge` for latents, of Pillow's resampling for pictures.
        antialias: a wider filter where the picture shrinks, and another bicubic.
        latent: enlarges latents; else the decoded picture.
    """

    label: str
    mode: str
    antialias: bool = False
    latent: bool = True


UPSCALERS: dict[str, Upscaler] = {
    "latent": Upscaler("Latent", "bilinear"),
    "latent-antialiased": Upscaler("Latent (antialiased)", "bilinear", True),
    "latent-bicubic": Upscaler("Latent (bicubic)", "bicubic"),
    "latent-bicubic-antialiased": Upscaler("Latent (bicubic antialiased)", "bicubic", True),
    "latent-nearest": Upscaler("Latent (nearest)", "nearest"),
    "latent-nearest-exact": Upscaler("Latent (nearest-exact)", "nearest-exact"),
    "latent-area": Upscaler("Latent (area)", "area"),
    "latent-bislerp": Upscaler("Latent (bislerp)", "bislerp"),
    "lanczos": Upscaler("Lanczos", "LANCZOS", latent=False),
    "nearest": Upscaler("Nearest", "NEAREST", latent=False),
}


def find_upscaler(name: str) -> Upscaler:
    """The upscaler of a name, ours or AUTOMATIC1111's.

    Raises:
        InputError: there is none of this name.
    """
    for key, upscaler in UPSCALERS.items():
        if str(name).lower() in (key, upscaler.label.lower()):
            return upscaler
    raise InputError(f"hires upscaler: expected one of {', '.join(UPSCALERS)}, got {name!r}")


def enlarge(x: Array, size: tuple[int, int], upscaler: Upscaler) -> Array:
    """Latents (b, c, h, w) at another height and width, float32."""
    if upscaler.mode == "bislerp":
        return bislerp(x, size)
    return interpolate(x, size, upscaler.mode, upscaler.antialias)


def bislerp(x: Array, size: tuple[int, int]) -> Array:
    """What ComfyUI calls so: across, then down, between two neighbours their length linearly, their direction by angle.

    Args:
        x: float32 (b, c, h, w), of which the vectors are those of c numbers.
        size: height and width of the result.
    """
    for axis in (3, 2):
        before = x.shape[axis]
        at = np.clip((np.arange(size[axis - 2]) + 0.5) * before / size[axis - 2] - 0.5, 0, before - 1)
        low = np.floor(at).astype(int)
        shape = (-1, 1) if axis == 2 else (1, -1)
        share = (at - low).astype(np.float32).reshape(shape)
        x = _between(x.take(low, axis), x.take(np.minimum(low + 1, before - 1), axis), share)
    return x


def _between(one: Array, other: Array, share: Array) -> Array:
    """Vectors along axis 1, so far from one to the other."""
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (one, other)]
    ways = [
        np.divide(x, length, out=np.zeros_like(x), where=length != 0)
        for x, length in zip((one, other), lengths, strict=True)
    ]
    cosine = np.sum(ways[0] * ways[1], axis=1, keepdims=True)
    # Beyond these two there is no way between: the first stays, or the line is taken.
    same, opposite = cosine > 1 - 1e-5, cosine < 1e-5 - 1
    angle = np.arccos(np.where(same | opposite, np.float32(0.5), cosine))
    turned = (np.sin((1 - share) * angle) * ways[0] + np.sin(share * angle) * ways[1]) / np.sin(angle)
    turned = turned * (lengths[0] * (1 - share) + lengths[1] * share)
    straight = one * (1 - share) + other * share
    return np.where(same, one, np.where(opposite, straight, turned)).astype(np.float32)


def interpolate(x: Array, size: tuple[int, int], mode: str, antialias: bool = False) -> Array:
    """What torch's `F.interpolate(x, size, mode=mode, antialias=antialias)` gives.

    Args:
        x: float32 (b, c, h, w).
        size: height and width of the result.
        mode: "bilinear", "bicubic", "nearest", "nearest-exact" or "area".
        antialias: of the first two.

    Raises:
        InputError: another mode.
    """
    weigh = _ANTIALIASED.get(mode) if antialias else _PLAIN.get(mode)
    if weigh is None:
        raise InputError(f"interpolation: no such mode: {mode}{', antialiased' if antialias else ''}")
    down, across = (
        weigh(before, after).astype(np.float32) for before, after in zip(x.shape[2:], size, strict=True)
    )
    return np.asarray(down @ x @ across.T, np.float32)


def _nearest(offset: float) -> Callable[[int, int], Array]:
    def weigh(before: int, after: int) -> Array:
        # In float32, as torch: exact ratios of float64 floor to other pixels at some sizes.
        ratio = np.float32(before / after)
        at = np.floor((np.arange(after, dtype=np.float32) + np.float32(offset)) * ratio).astype(int)
        return np.asarray(np.eye(before)[np.minimum(at, before - 1)])

    return weigh


def _bilinear(before: int, after: int) -> Array:
    at = np.maximum((np.arange(after) + 0.5) * before / after - 0.5, 0)
    low = np.floor(at).astype(int)
    weights = np.zeros((after, before))
    rows = np.arange(after)
    np.add.at(weights, (rows, low), 1 - (at - low))
    np.add.at(weights, (rows, np.minimum(low + 1, before - 1)), at - low)
    return weights


def _bicubic(before: int, after: int) -> Array:
    at = (np.arange(after) + 0.5) * before / after - 0.5
    low = np.floor(at).astype(int)
    weights = np.zeros((after, before))
    rows = np.arange(after)
    for tap in range(-1, 3):
        np.add.at(weights, (rows, np.clip(low + tap, 0, before - 1)), _cubic(at - (low + tap), -0.75))
    return weights


def _area(before: int, after: int) -> Array:
    pixel = np.arange(before)[None]
    row = np.arange(after)[:, None]
    weights = (pixel >= row * before // after) & (pixel < -(-(row + 1) * before // after))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _antialiased(kernel: Callable[[Array], Array], radius: float) -> Callable[[int, int], Array]:
    def weigh(before: int, after: int) -> Array:
        ratio = before / after
        stretch = max(ratio, 1.0)
        centre = (np.arange(after)[:, None] + 0.5) * ratio
        pixel = np.arange(before)[None]
        first = np.maximum((centre - radius * stretch + 0.5).astype(int), 0)
        end = np.minimum((centre + radius * stretch + 0.5).astype(int), before)
        weights = kernel((pixel - centre + 0.5) / stretch) * ((pixel >= first) & (pixel < end))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    return weigh


def _cubic(distance: Array, a: float) -> Array:
    """Keys' cubic convolution, doi:10.1109/TASSP.1981.1163711; torch takes a = -0.75, antialiased -0.5."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


_PLAIN: dict[str, Callable[[int, int], Array]] = {
    "nearest": _nearest(0.0),
    "nearest-exact": _nearest(0.5),
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "area": _area,
}
_ANTIALIASED: dict[str, Callable[[int, int], Array]] = {
    "bilinear": _antialiased(lambda d: np.maximum(1 - np.abs(d), 0), 1),
    "bicubic": _antialiased(lambda d: _cubic(d, -0.5), 2),
}
