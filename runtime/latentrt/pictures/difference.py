"""How far one picture is from another: as a number, and as a picture."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_FACTORS = (64, 32, 16, 8, 4, 2, 1)


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB over all levels of two pictures of one size; infinity where they are equal."""
    error = float(np.mean(np.square(_apart(one, other))))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def difference(one: Image.Image, other: Image.Image) -> tuple[Image.Image, int]:
    """How far each level is from the other picture's, so many times brighter as is still no more than white."""
    apart = np.abs(_apart(one, other))
    factor = next(factor for factor in _FACTORS if factor == 1 or apart.max() * factor <= 255)
    return Image.fromarray((apart * factor).astype(np.uint8)), factor


def _apart(one: Image.Image, other: Image.Image) -> npt.NDArray[Any]:
    return np.asarray(one, np.float64) - np.asarray(other, np.float64)
