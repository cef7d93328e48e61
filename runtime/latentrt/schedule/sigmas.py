"""Noise levels of a run by the schedules of k-diffusion, ComfyUI and AUTOMATIC1111.

Each takes the model's table and a number of steps, and gives σ of every step, float32, and where the run ends, behind
them: mostly 0. They are computed in float32 in the order in which torch computes them there, since what draws from a
Brownian tree shows σ's last bit. Two programs mean different things by a few names: see `FORMULAS`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from latentrt.schedule.beta import beta_ppf
from latentrt.schedule.betas import linspace
from latentrt.schedule.sigma_table import SigmaTable

Float32 = NDArray[np.float32]
Formula = Callable[[SigmaTable, int], Float32]
Program: TypeAlias = Literal["comfyui", "a1111"]

# arXiv:2404.14507: σ of 10 steps for Stable Diffusion 1.5 and SDXL, as the authors' page and ComfyUI print them.
_ALIGNED = (
    14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016,
    0.3977456272, 0.1515232662, 0.0291671582,
)  # fmt: skip
_ALIGNED_XL = (
    14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708,
    0.2332364134, 0.1114188177, 0.0291671582,
)  # fmt: skip
# The same as AUTOMATIC1111 rounds them.
_ALIGNED_ROUNDED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
_ALIGNED_XL_ROUNDED = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)


def _to_zero(sigmas: NDArray[np.floating] | Sequence[float]) -> Float32:
    return np.append(np.asarray(sigmas, dtype=np.float32), np.float32(0))


def simple(table: SigmaTable, count: int) -> Float32:
    """Every so many training timesteps, from the last."""
    stride = len(table.sigmas) / count
    return _to_zero([table.sigmas[-(1 + int(i * stride))] for i in range(count)])


def ddim_uniform(table: SigmaTable, count: int) -> Float32:
    """Every ⌊train/count⌋-th timestep from 1; where that has a remainder, more steps than were asked for."""
    return _to_zero(table.sigmas[1 :: max(len(table.sigmas) // count, 1)][::-1])


def normal(table: SigmaTable, count: int) -> Float32:
    """Even steps of the timestep, both ends among them."""
    return _to_zero(table.at(linspace(table.last, 0, count)))


def sgm_uniform(table: SigmaTable, count: int) -> Float32:
    """Even steps of the timestep, of which the lowest is left out."""
    return _to_zero(table.at(linspace(table.last, 0, count + 1)[:-1]))


def karras(table: SigmaTable, count: int, rho: float = 7.0) -> Float32:
    """arXiv:2206.00364 eq. 5."""
    return karras_between(table.lowest, table.highest, count, rho)


def karras_between(lowest: float, highest: float, count: int, rho: float = 7.0) -> Float32:
    """The same between any two ends, and 0 behind them."""
    low, high = lowest ** (1 / rho), highest ** (1 / rho)
    return _to_zero(_power(np.float32(high) + linspace(0, 1, count) * np.float32(low - high), rho))


def exponential(table: SigmaTable, count: int) -> Float32:
    """Even steps of log σ."""
    return _to_zero(_exp(linspace(math.log(table.highest), math.log(table.lowest), count)))


def polyexponential(table: SigmaTable, count: int, rho: float = 1.0) -> Float32:
    """Steps of log σ that follow a power; with ρ = 1 they are even."""
    low, high = math.log(table.lowest), math.log(table.highest)
    return _to_zero(_exp(_power(linspace(1, 0, count), rho) * np.float32(high - low) + np.float32(low)))


def kl_optimal(table: SigmaTable, count: int) -> Float32:
    """Even steps of arctan σ, arXiv:2404.14507; σ_min is the last step's, then 0."""
    return _to_zero(_arctangents(table, np.arange(count, dtype=np.float32) / np.float32(max(count - 1, 1))))


def kl_optimal_to_lowest(table: SigmaTable, count: int) -> Float32:
    """The same over one step more, so that the run ends at σ_min."""
    return _arctangents(table, np.arange(count + 1, dtype=np.float32) / np.float32(count))


def _arctangents(table: SigmaTable, shares: Float32) -> Float32:
    low, high = np.float32(math.atan(table.lowest)), np.float32(math.atan(table.highest))
    angles = (shares * low + (1 - shares) * high).astype(np.float64)
    return np.tan(angles).astype(np.float32)


def beta(table: SigmaTable, count: int, alpha: float = 0.6, beta: float = 0.6) -> Float32:
    """Quantiles of a beta distribution over the timesteps, arXiv:2407.12173; fewer where two fall on one timestep."""
    quantiles = beta_ppf(1 - np.linspace(0, 1, count, endpoint=False), alpha, beta)
    timesteps = np.rint(quantiles * table.last).astype(np.int64)
    kept = np.append(True, np.diff(timesteps) != 0)
    return _to_zero(table.sigmas[timesteps[kept]])


def beta57(table: SigmaTable, count: int) -> Float32:
    """The same of Beta(0.5, 0.7)."""
    return beta(table, count, 0.5, 0.7)


def beta_over_sigma(table: SigmaTable, count: int, alpha: float = 0.6, beta: float = 0.6) -> Float32:
    """Quantiles of the same distribution over σ itself, both ends among them."""
    quantiles = beta_ppf(1 - np.linspace(0, 1, count), alpha, beta)
    return _to_zero(table.lowest + quantiles * (table.highest - table.lowest))


def linear_quadratic(table: SigmaTable, count: int) -> Float32:
    """Mochi's: half of the steps take 1/40 of the way in even strides, the rest go on along a parabola."""
    threshold, linear = 0.025, count // 2
    if count == 1:
        return _to_zero([table.highest])
    quadratic, steps = count - linear, np.arange(count)
    excess = linear - threshold * count
    a = excess / (linear * quadratic**2)
    b = threshold / linear - 2 * excess / quadratic**2
    way = np.where(steps < linear, steps * threshold / linear, a * steps**2 + b * steps + a * linear**2)
    return _to_zero((1 - way).astype(np.float32) * np.float32(table.highest))


def _aligned(published: Sequence[float]) -> Formula:
    """Log-linear through the published levels, one more than steps, of which the last then is 0."""

    def formula(table: SigmaTable, count: int) -> Float32:
        return _to_zero(_log_linear(published, count + 1)[:-1])

    return formula


def _aligned_and_zero(published: Sequence[float]) -> Formula:
    """Log-linear through the published levels, as many as steps, and 0 behind the last."""

    def formula(table: SigmaTable, count: int) -> Float32:
        return _to_zero(_log_linear(published, count))

    return formula


def _log_linear(published: Sequence[float], count: int) -> NDArray[np.float64]:
    if count == len(published):
        return np.array(published)
    # From the lowest: of a single step, that is all.
    rising = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(published)), np.log(published[::-1]))
    return np.exp(rising)[::-1]


def _spread(published: Sequence[float]) -> tuple[float, ...]:
    """Forge's 32 levels, to 8 digits: log-linear through those of 11, of which the last is 0.015."""
    return tuple(np.round(_log_linear((*published[:-1], 0.015), 32), 8).tolist())


def _exp(values: Float32) -> Float32:
    return np.exp(values.astype(np.float64)).astype(np.float32)


def _power(values: Float32, exponent: float) -> Float32:
    return np.asarray(values.astype(np.float64) ** exponent, dtype=np.float32)


_BOTH: dict[str, Formula] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "normal": normal,
    "uniform": normal,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "beta57": beta57,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": kl_optimal,
    "align_your_steps": _aligned(_ALIGNED),
    "align_your_steps_sdxl": _aligned(_ALIGNED_XL),
    "align_your_steps_32": _aligned_and_zero(_spread(_ALIGNED_ROUNDED)),
    "align_your_steps_32_sdxl": _aligned_and_zero(_spread(_ALIGNED_XL_ROUNDED)),
}
# What each program means by a name.
FORMULAS: Mapping[Program, Mapping[str, Formula]] = {
    "comfyui": _BOTH,
    "a1111": {
        **_BOTH,
        "beta": beta_over_sigma,
        "kl_optimal": kl_optimal_to_lowest,
        "align_your_steps": _aligned_and_zero(_ALIGNED_ROUNDED),
        "align_your_steps_sdxl": _aligned_and_zero(_ALIGNED_XL_ROUNDED),
    },
}
# Those that have another table for SDXL, named so with "_sdxl" behind.
FOR_EACH_FAMILY = ("align_your_steps", "align_your_steps_32")
# Those that take ρ.
TAKE_RHO: Mapping[str, Callable[[SigmaTable, int, float], Float32]] = {
    "karras": karras,
    "polyexponential": polyexponential,
}
