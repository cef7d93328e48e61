"""Enlarge latents as torch's `F.interpolate` does, and pictures as Pillow does, under AUTOMATIC1111's names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latentrt.errors import InputError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Upscaler:
    """A way to enlarge.

    Attributes:
        label: AUTOMATIC1111's name.
        mode: of `interpolate` for latents, of Pillow's resampling for pictures.
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


def interpolate(x: Array, size: tuple[int, int], mode: str, antialias: bool = False) -> Array:
    """What torch's `F.interpolate(x, size, mode=mode, antialias=antialias)` gives.

    Args:
        x: float32 (b, c, h, w).
        size: height and width of the result.
        mode: "bilinear", "bicubic", "nearest" or "nearest-exact".
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
}
_ANTIALIASED: dict[str, Callable[[int, int], Array]] = {
    "bilinear": _antialiased(lambda d: np.maximum(1 - np.abs(d), 0), 1),
    "bicubic": _antialiased(lambda d: _cubic(d, -0.5), 2),
}
