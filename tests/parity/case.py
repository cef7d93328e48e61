"""One run that both sides make: a combination of options, a number of steps, a network, noise."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentrt.noise import NoiseSource

_LEARNED = ("learned", "learned_range")


@dataclass(frozen=True)
class Case:
    """A combination.

    Attributes:
        class_name: a diffusers scheduler.
        config: the options that differ from the class's defaults.
        count: the number of steps.
        run: arguments of `step`, and `mu`.
        timesteps: given to `set_timesteps`, in place of the count.
        sigmas: likewise.
        strength: of img2img.
        seed: of the noise, the first included.
    """

    class_name: str
    config: Mapping[str, Any]
    count: int
    run: Mapping[str, Any] = field(default_factory=dict)
    timesteps: Sequence[float] | None = None
    sigmas: Sequence[float] | None = None
    strength: float | None = None
    seed: int = 0

    @property
    def given(self) -> bool:
        """Whether timesteps or sigmas are given, in place of the number of steps."""
        return self.timesteps is not None or self.sigmas is not None

    @property
    def learned(self) -> bool:
        """Whether the network puts out variance channels."""
        return self.config.get("variance_type") in _LEARNED

    @property
    def shape(self) -> tuple[int, ...]:
        """Latents; of three channels with learned variances, of which the DPM-Solver classes keep as many."""
        return (2, 3 if self.learned else 4, 3, 4)

    def network(self, x: np.ndarray, timestep: float) -> np.ndarray:
        """A stand-in for the UNet: nonlinear, cheap, the same in float32 and float64 but for rounding.

        The timestep counts as the float32 that diffusers holds.
        """
        at = np.float32(0.2 * (np.float32(timestep) / 1000 - 0.5))
        out = np.float32(0.4) * x + np.float32(0.5) * x / (1 + x * x) + at
        if not self.learned:
            return out
        return np.concatenate([out, np.float32(0.2) + np.float32(0.1) * x / (1 + x * x)], axis=1)

    def label(self) -> str:
        """All that it consists of, in a line."""
        config = {k: ("…" if k == "trained_betas" else v) for k, v in self.config.items()}
        rest: dict[str, Any] = {**self.run, "strength": self.strength}
        rest |= {key: "given" for key in ("timesteps", "sigmas") if getattr(self, key) is not None}
        shown = json.dumps({**config, **{k: v for k, v in rest.items() if v is not None}})
        return f"{self.class_name} {self.count} {shown}"


class Noise:
    """The noise that both sides draw: the same normals, if they draw as often and in the same order."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.RandomState(seed)

    def randn(self, shape: Sequence[int]) -> np.ndarray:
        """Draw float64 normals."""
        return self._random.standard_normal(tuple(shape))


@dataclass(frozen=True)
class Drawn:
    """A Brownian motion that is not: the next draw, whatever is asked, as diffusers is given it."""

    noise: NoiseSource
    shape: tuple[int, ...]

    def __call__(self, sigma: float, sigma_next: float, part: float = 1.0) -> np.ndarray:
        return self.noise.randn(self.shape)

    along_log = __call__
