"""The floating-point types of checkpoints that numpy has none of, widened to float32, which holds them exactly."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _e4m3() -> Array:
    """The 256 values of F8_E4M3 (arXiv:2209.05433): sign, 4 bits of exponent with bias 7, 3 of mantissa."""
    bits = np.arange(256)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    magnitude = np.where(
        exponent == 0, mantissa * 2.0**-9, (1 + mantissa / 8) * 2.0 ** (exponent.astype(float) - 7)
    )
    magnitude[bits & 127 == 127] = np.nan
    return np.where(bits & 128, -magnitude, magnitude).astype(np.float32)


_E4M3 = _e4m3()

# By name in safetensors: from unsigned numbers of the type's size.
WIDENED: dict[str, Callable[[Array], Array]] = {
    "BF16": lambda bits: (bits.astype(np.uint32) << 16).view(np.float32),
    "F8_E4M3": lambda bits: _E4M3[bits],
    "F8_E5M2": lambda bits: (bits.astype(np.uint16) << 8).view(np.float16).astype(np.float32),
}
