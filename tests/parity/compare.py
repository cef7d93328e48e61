"""Ours against diffusers, one case."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from parity.case import Case
from parity.oracle import reference
from parity.run import Run, ours, schedule_of, wide_tables


@dataclass(frozen=True)
class Comparison:
    """How far ours is from diffusers in one case; what is not asked for is not run."""

    case: Case

    @cached_property
    def diffusers(self) -> Run:
        """diffusers in float32. Raises InvalidError where it refuses."""
        return reference(self.case)

    @cached_property
    def diffusers64(self) -> Run:
        """diffusers in float64, along our sigmas (which are its own but for float32's rounding)."""
        with wide_tables():
            schedule = schedule_of(self.case)
        sigmas = schedule.sigmas / (1 + schedule.sigmas) if schedule.form == "flow" else schedule.sigmas
        return reference(self.case, np.float64, np.array(sigmas), self.diffusers.timesteps)

    @cached_property
    def ours(self) -> Run:
        """Ours in float32."""
        return ours(self.case)

    @cached_property
    def ours64(self) -> Run:
        """Ours in float64; the network is told the same timesteps as there, some of which differ in a last bit."""
        return ours(self.case, np.float64, self.diffusers.timesteps)

    @cached_property
    def defined(self) -> bool:
        """Whether diffusers gives numbers, not NaN or infinity."""
        return all(np.isfinite(sample).all() for sample in self.diffusers.samples)

    @cached_property
    def defined64(self) -> bool:
        """The same of its float64 run, in which a step of length 0 is just that."""
        return all(np.isfinite(sample).all() for sample in self.diffusers64.samples)

    @cached_property
    def timesteps(self) -> float:
        """The largest difference of a timestep."""
        if self.ours.timesteps.shape != self.diffusers.timesteps.shape:
            return np.inf
        return float(np.abs(self.ours.timesteps - self.diffusers.timesteps).max())

    @cached_property
    def float32(self) -> float:
        """The worst error of any step's sample, relative to the largest value of that sample."""
        return worst(self.ours, self.diffusers)

    @cached_property
    def float64(self) -> float:
        """The same where both compute in float64."""
        return worst(self.ours64, self.diffusers64)

    @cached_property
    def rounding_of_diffusers(self) -> float:
        """The same of diffusers' float32 run against its float64 run."""
        return worst(self.diffusers, self.diffusers64)

    @cached_property
    def rounding_of_ours(self) -> float:
        """The same of ours."""
        return worst(self.ours, self.ours64)


def worst(one: Run, other: Run) -> float:
    """The worst error of any step, relative to the other's largest value there; infinite where one is no number."""
    if len(one.samples) != len(other.samples):
        return np.inf
    with np.errstate(all="ignore"):
        errors = [
            np.abs(a.astype(np.float64) - b).max() / (np.abs(b).max() or 1.0)
            for a, b in zip(one.samples, other.samples, strict=True)
        ]
    return float(np.nan_to_num(np.max(errors), nan=np.inf))
