"""A picture or array that says how far everything is: the larger a number, the nearer, as MiDaS has it."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentrt.errors import ImageError, InputError
from latentrt.pictures.images import opened
from latentrt.pictures.mask import NEAR

DepthLike: TypeAlias = Path | str | Image.Image | NDArray[np.generic]


def load_depth(source: DepthLike) -> NDArray[np.float32]:
    """Read a map of depths, float32 (h, w), as its numbers stand: their range means nothing.

    Args:
        source: a grey picture of 8, 16 or 32 bits or of floats, a file or Pillow's; or an array of finite numbers,
            (h, w), (1, h, w) or (h, w, 1).

    Raises:
        ImageError: it cannot be read, or has colours, which may stand for depths in many ways.
        InputError: an array of another shape or type, or not finite.
    """
    if isinstance(source, np.ndarray):
        return _numbers(source)
    with opened(source) as (image, name):
        if image.mode == "F" or image.mode.startswith("I"):
            return _numbers(np.asarray(image))
        grey = np.asarray(image.convert("RGB"), np.int16)
        if np.ptp(grey, axis=2).max() > NEAR:
            raise ImageError(f"{name}: has colours; expected a map of depths in grey, near things bright")
        return np.ascontiguousarray(grey[:, :, 1], np.float32)


def _numbers(array: NDArray[np.generic]) -> NDArray[np.float32]:
    shape = array.shape
    if array.ndim == 3 and 1 in (shape[0], shape[2]):
        array = array[0] if shape[0] == 1 else array[:, :, 0]
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise InputError(f"depth: expected numbers, (h, w), got {array.dtype} {shape}")
    with np.errstate(over="ignore"):
        values = np.asarray(array, np.float32)
    if not np.isfinite(values).all():
        raise InputError("depth: expected finite numbers, got NaN, infinity, or beyond float32")
    return np.ascontiguousarray(values)
