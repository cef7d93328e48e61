"""betas → alphas_cumprod: the noise levels that a network was trained with.

diffusers computes them in float32, and rounds in a definite order. A timestep found from a sigma must come out
exactly equal, and at small timesteps 1 − ᾱ makes much of a rounding (σ₀ is off by 3e-5). So the same roundings are
made here; all that follows is float64.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.schedule.options import ConfigError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


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
        ConfigError: betas outside [0, 1], or not as many as timesteps; betas that cannot be rescaled.
    """
    if trained_betas is not None:
        betas = np.asarray(trained_betas, dtype=np.float32)
    elif beta_schedule == "linear":
        betas = linspace(beta_start, beta_end, num_train_timesteps)
    elif beta_schedule == "scaled_linear":
        betas = np.square(linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps))
    elif beta_schedule == "sigmoid":
        logits = linspace(-6, 6, num_train_timesteps).astype(np.float64)
        rising = (1 / (1 + np.exp(-logits))).astype(np.float32)
        betas = rising * np.float32(beta_end - beta_start) + np.float32(beta_start)
    else:
        betas = _betas_of(_ALPHA_BARS[beta_schedule], num_train_timesteps)
    if betas.shape != (num_train_timesteps,):
        raise ConfigError(
            f"trained_betas: expected {num_train_timesteps} of them, as num_train_timesteps says, got {len(betas)}"
        )
    if not np.all((betas >= 0) & (betas <= 1)):
        raise ConfigError(f"beta_schedule: {beta_schedule} leads outside of 0 to 1")
    if rescale_betas_zero_snr:
        with np.errstate(divide="ignore", invalid="ignore"):
            betas = _rescale_zero_terminal_snr(betas)
        if not np.isfinite(betas).all():
            raise ConfigError(
                "rescale_betas_zero_snr: the betas leave nothing to rescale; expected noise that grows with the "
                "timesteps and leaves some of the picture"
            )
    return _cumprod(1 - betas)


def exact_alphas_cumprod(
    *,
    num_train_timesteps: int,
    beta_start: float,
    beta_end: float,
    beta_schedule: str,
    trained_betas: Sequence[float] | None = None,
    rescale_betas_zero_snr: bool = False,
) -> Float64:
    """Compute the same in float64, as the code of latent diffusion, ComfyUI and AUTOMATIC1111 do; see there.

    Of a `beta_schedule` that they lack, the betas are those of `make_alphas_cumprod`.
    """
    betas: NDArray[np.floating[Any]]
    if trained_betas is None and beta_schedule == "linear":
        betas = np.linspace(beta_start, beta_end, num_train_timesteps)
    elif trained_betas is None and beta_schedule == "scaled_linear":
        betas = np.square(np.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps))
    else:
        single = make_alphas_cumprod(
            num_train_timesteps=num_train_timesteps,
            beta_start=beta_start,
            beta_end=beta_end,
            beta_schedule=beta_schedule,
            trained_betas=trained_betas,
        ).astype(np.float64)
        betas = 1 - single / np.append(1.0, single[:-1])
    alphas_cumprod: Float64 = np.cumprod(1 - betas)
    if not rescale_betas_zero_snr:
        return alphas_cumprod
    root = np.sqrt(alphas_cumprod)
    shifted: Float64 = (root - root[-1]) * (root[0] / (root[0] - root[-1]))  # arXiv:2305.08891 algorithm 1
    return np.square(shifted)


def linspace(start: float, end: float, count: int) -> Float32:
    """Space evenly as `torch.linspace` does in float32: from either end to the middle, with a fused multiply-add."""
    if count == 1:
        return np.array([start], dtype=np.float32)
    first, last = np.float32(start), np.float32(end)
    step = np.float64((last - first) / np.float32(count - 1))
    index = np.arange(count)
    rising, falling = np.float64(first) + step * index, np.float64(last) - step * (count - 1 - index)
    return np.where(index < count // 2, rising, falling).astype(np.float32)


def _cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2  # arXiv:2102.09672 eq. 17


def _exponential(t: float) -> float:
    return math.exp(-12 * t)


def _laplace(t: float) -> float:
    """ᾱ whose log-SNR is Laplace-distributed, arXiv:2407.03297; under a root, as in diffusers."""
    log_snr = -0.5 * math.copysign(1, 0.5 - t) * math.log(1 - 2 * abs(0.5 - t) + 1e-6)
    snr = math.exp(log_snr)
    return math.sqrt(snr / (1 + snr))


# ᾱ(t) for t from 0 to 1.
_ALPHA_BARS: dict[str, Callable[[float], float]] = {
    "squaredcos_cap_v2": _cosine,
    "exp": _exponential,
    "laplace": _laplace,
}


def _betas_of(alpha_bar: Callable[[float], float], count: int) -> Float32:
    """β of every timestep from ᾱ(t), at most 0.999."""
    betas = [min(1 - alpha_bar((i + 1) / count) / alpha_bar(i / count), 0.999) for i in range(count)]
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
