"""Which training timesteps are visited: table 2 of arXiv:2305.08891, as each diffusers class reads it."""

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError

Float64 = NDArray[np.float64]


def spaced(spacing: str, count: int, train: int, offset: int, *, integral: bool = True) -> Float64:
    """Timesteps of DDIM, PNDM (`integral`) and the Euler classes, whose linspace keeps fractions; descending, (count,).

    Args:
        spacing: by the config: `leading` (0, r, 2r, … + offset), `linspace` (both ends), `trailing` (from train − 1).
        count: num_inference_steps, 1 … train.
        train: num_train_timesteps.
        offset: `steps_offset`; of `leading` alone.
        integral: whether `linspace` rounds.
    """
    if spacing == "linspace":
        if integral:
            return np.linspace(0, train - 1, count).round()[::-1]
        return np.linspace(0, train - 1, count, dtype=np.float32)[::-1].astype(np.float64)
    if spacing == "leading":
        return np.arange(count, dtype=np.float64)[::-1] * (train // count) + offset
    return _trailing(train, train / count)[:count]


def spaced_multistep(spacing: str, count: int, train: int, last: int, offset: int) -> Float64:
    """Timesteps of DPMSolverMultistep: of count + 1 points, without the lowest; from `last` (≤ train) downwards."""
    if spacing == "linspace":
        return np.linspace(0, last - 1, count + 1).round()[::-1][:-1]
    if spacing == "leading":
        if last // (count + 1) == 0:
            raise InputError(
                f"num_inference_steps: expected at most {last - 1} with leading spacing, got {count}"
            )
        return np.arange(count + 1, dtype=np.float64)[::-1][:-1] * (last // (count + 1)) + offset
    return _trailing(last, train / count)[:count]


def _trailing(start: int, step: float) -> Float64:
    # For some counts (61, 103, …) rounding makes `arange` one element too long, and diffusers then runs one more step,
    # at timestep −1. The callers cut it off.
    return np.arange(start, 0, -step).round() - 1
