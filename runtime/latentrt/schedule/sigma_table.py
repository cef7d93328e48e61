"""σ of every training timestep, as schedules of k-diffusion's kind read it: how it is rounded, and its ends."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from latentrt.errors import InputError
from latentrt.schedule.classes.common import Options, exact_alphas_cumprod_of, ve_sigmas

Float32 = NDArray[np.float32]

# ᾱ of the last timestep at zero terminal SNR, where diffusers has 2⁻²⁴: σ = 4518.8.
LAST_ALPHA = 4.8973451890853435e-08

# What is rounded to float32: every product on the way to ᾱ, as diffusers does; ᾱ alone, as the code of latent
# diffusion and AUTOMATIC1111 do; or σ alone, as ComfyUI does, whose lowest σ of Stable Diffusion is 0.02916716 where
# theirs is 0.02916753. As "halves" ᾱ and all that is made of it is rounded to float16, as AUTOMATIC1111 did before 1.8.
Rounded: TypeAlias = Literal["products", "alphas", "sigmas", "halves"]
_SINGLE: Mapping[Rounded, type[np.floating[Any]]] = {"alphas": np.float32, "halves": np.float16}


@dataclass(frozen=True, eq=False)
class SigmaTable:
    """The model's noise levels.

    Attributes:
        sigmas: float32 (num_train_timesteps,), rising.
        logs: their logarithms, float32.
        lowest: σ at which schedules between two ends end; the table's first, where nothing else was asked for.
        highest: likewise where they begin.
    """

    sigmas: Float32
    logs: Float32
    lowest: float
    highest: float

    @property
    def last(self) -> int:
        """The last timestep."""
        return len(self.sigmas) - 1

    def at(self, timesteps: NDArray[np.floating]) -> Float32:
        """σ at fractional timesteps, interpolated in log σ; float32, as torch computes it."""
        low = np.floor(timesteps).astype(np.int64)
        weight = (timesteps - low).astype(np.float32)
        logs = (1 - weight) * self.logs[low] + weight * self.logs[np.minimum(low + 1, self.last)]
        sigmas: Float32 = np.exp(logs.astype(np.float64)).astype(np.float32)
        return sigmas

    def every(self, stride: int) -> "SigmaTable":
        """The last timestep, and every so many below it: what a network was distilled to, which knows no others."""
        sigmas, logs = self.sigmas[::-1][::stride][::-1], self.logs[::-1][::stride][::-1]
        return SigmaTable(sigmas, logs, float(sigmas[0]), float(sigmas[-1]))

    def between(self, lowest: float | None, highest: float | None) -> "SigmaTable":
        """The same with other ends, where they are given.

        Raises:
            InputError: they are not above 0, or the lowest is not below the highest.
        """
        if lowest is None and highest is None:
            return self
        low = self.lowest if lowest is None else lowest
        high = self.highest if highest is None else highest
        if not 0 < low < high < math.inf:
            raise InputError(
                f"sigma_min, sigma_max: expected 0 < sigma_min < sigma_max, got {low:g} and {high:g}"
            )
        return replace(self, lowest=low, highest=high)


def sigma_table(options: Options, rounded: Rounded = "products") -> SigmaTable:
    """Make the table of a model.

    Args:
        options: of a scheduler class; the betas count.
        rounded: see `Rounded`.
    """
    if rounded == "products":
        sigmas: NDArray[np.floating] = ve_sigmas(options, LAST_ALPHA)
    else:
        exact = exact_alphas_cumprod_of(options, LAST_ALPHA)
        alphas = exact.astype(_SINGLE.get(rounded, np.float64))
        with np.errstate(divide="ignore"):
            sigmas = np.sqrt((1 - alphas) / alphas)
    with np.errstate(divide="ignore"):
        # ComfyUI takes the logarithm before it rounds.
        logs = np.log(sigmas.astype(np.float64)).astype(np.float32)
    if rounded == "halves":
        logs = logs.astype(np.float16).astype(np.float32)
    single = sigmas.astype(np.float32)
    return SigmaTable(single, logs, float(single[0]), float(single[-1]))
