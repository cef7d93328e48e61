"""betas → alphas_cumprod: the noise levels that a network was trained with.

diffusers computes them in float32, and rounds in a definite order. A timestep found from a sigma must come out
exactly equal, and at small timesteps 1 − ᾱ makes much of a rounding (σ₀ is off by 3e-5). So the same roundings are
made here; all that follows is float64.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError

Float32 = NDArray[np.float32]


def make_alphas_cumprod(
    *,
    num_train_timesteps: int,
    beta_start: float,
    beta_end: float,
    beta_schedule: str,
    trained_betas: Sequence[float] | None = None,
    rescale_betas_zero_snr: bool = False,
) -> Float32:
    """Compute ᾱ_t = ∏(1 − β), float32 (num_train_timesteps,), falling; 0 at the end after a zero-SNR rescaling.

    Raises:
        InputError: an unknown `beta_schedule`, or betas outside [0, 1].
    """
    if trained_betas is not None:
        betas = np.asarray(trained_betas, dtype=np.float32)
    elif beta_schedule == "linear":
        betas = _linspace(beta_start, beta_end, num_train_timesteps)
    elif beta_schedule == "scaled_linear":
        betas = np.square(_linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps))
    elif beta_schedule == "squaredcos_cap_v2":
        betas = _cosine_betas(num_train_timesteps)
    else:
        known = "linear, scaled_linear, squaredcos_cap_v2"
        raise InputError(f"scheduler config, beta_schedule: expected one of {known}, got {beta_schedule!r}")
    if betas.shape != (num_train_timesteps,) or not np.all((betas >= 0) & (betas <= 1)):
        raise InputError(f"scheduler config, betas: expected {num_train_timesteps} values in [0, 1]")
    if rescale_betas_zero_snr:
        betas = _rescale_zero_terminal_snr(betas)
    return _cumprod(1 - betas)


def _linspace(start: float, end: float, count: int) -> Float32:
    """Space evenly as `torch.linspace` does in float32: from either end to the middle, with a fused multiply-add."""
    if count == 1:
        return np.array([start], dtype=np.float32)
    first, last = np.float32(start), np.float32(end)
    step = np.float64((last - first) / np.float32(count - 1))
    index = np.arange(count)
    rising, falling = np.float64(first) + step * index, np.float64(last) - step * (count - 1 - index)
    return np.where(index < count // 2, rising, falling).astype(np.float32)


def _cosine_betas(count: int, max_beta: float = 0.999) -> Float32:
    """Cosine schedule, arXiv:2102.09672 eq. 17, with β capped."""

    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - alpha_bar((i + 1) / count) / alpha_bar(i / count), max_beta) for i in range(count)]
    return np.array(betas, dtype=np.float32)


def _cumprod(alphas: Float32) -> Float32:
    """Multiply up as torch does: accumulated in double, each product rounded to float32."""
    product: NDArray[Any] = np.cumprod(alphas, dtype=np.float64)
    return product.astype(np.float32)


def _rescale_zero_terminal_snr(betas: Float32) -> Float32:
    """Shift and scale √ᾱ so that its last value is 0 and its first stays: arXiv:2305.08891, algorithm 1."""
    root = np.sqrt(_cumprod(1 - betas))
    first, last = root[0], root[-1]
    root = (root - last) * (first / (first - last))
    alpha_bar = np.square(root)
    alphas = np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return (1 - alphas).astype(np.float32)
