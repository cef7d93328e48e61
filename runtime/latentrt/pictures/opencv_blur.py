"""OpenCV's Gaussian of grey pictures of 8 bits, to the bit: what AUTOMATIC1111 softens masks by."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]


def opencv_blur(image: Image.Image, sigma: float) -> Image.Image:
    """Blur across, then down, as `cv2.GaussianBlur` with a kernel of ±⌊2.5·sigma + ½⌋ pixels.

    Args:
        image: mode L.
        sigma: of the Gaussian, in pixels, more than 0.
    """
    weights = _weights(sigma)
    levels = np.asarray(image)
    for axis in (1, 0):
        levels = _along(levels, weights, axis)
    return Image.fromarray(levels)


def _weights(sigma: float) -> Array:
    """The kernel in 1/256: each weight is rounded with the error of those before it, and the middle takes the rest."""
    radius = int(2.5 * sigma + 0.5)
    exact = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma * sigma))
    exact *= 256 / exact.sum()
    weights, error = np.zeros(2 * radius + 1, np.int32), 0.0
    for place, weight in enumerate(exact[:radius].tolist()):
        weights[place] = weights[-1 - place] = round(weight + error)
        error += weight - float(weights[place])
    weights[radius] = 256 - weights.sum()
    return weights


def _along(levels: Array, weights: Array, axis: int) -> Array:
    """One pass. Beyond an edge the picture is mirrored about its outermost pixel, which is there once."""
    last, radius = levels.shape[axis] - 1, len(weights) // 2
    total = np.full(levels.shape, 128, np.int32)
    # Of a wide kernel most weights are 0: at most 256 are not.
    for tap in np.flatnonzero(weights):
        at = np.abs(np.arange(last + 1) + tap - radius) % max(2 * last, 1)
        total += weights[tap] * np.take(levels, np.minimum(at, 2 * last - at), axis).astype(np.int32)
    return (total >> 8).astype(np.uint8)
