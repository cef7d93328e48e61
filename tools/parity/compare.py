"""Ours against diffusers, one case."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unittest import mock

import numpy as np

from latentrt import samplers
from latentrt.schedule import Schedule
from latentrt.schedule.classes import common
from parity.case import Case, Noise
from parity.oracle import Reference, reference


@contextlib.contextmanager
def wide_tables() -> Iterator[None]:
    """Let ours compute its tables of σ in float64 too; it takes some in float32, as diffusers does."""
    narrow = common.alphas_cumprod_of
    with mock.patch.object(
        common, "alphas_cumprod_of", lambda options: narrow(options).astype(np.float64)
    ):
        yield


def schedule_of(case: Case) -> Schedule:
    """Our schedule of the case."""
    whole = samplers.resolve(None, case.config).schedule(
        None if case.given else case.count,
        timesteps=case.timesteps,
        sigmas=case.sigmas,
        mu=case.run.get("mu"),
    )
    return whole


def ours(case: Case, dtype: type = np.float32, told: np.ndarray | None = None) -> Reference:
    """The case's run with `latentrt.samplers.iterate`; see `reference`."""
    noise = Noise(case.seed)
    x = noise.randn(case.shape).astype(dtype)
    options: dict[str, Any] = dict(case.run)
    network = case.network
    if told is not None:
        timesteps = iter(told)
        network = lambda x, timestep: case.network(x, float(next(timesteps)))  # noqa: E731
    # diffusers' Brownian path is torchsde's, which ours is not: both are given one.
    follow = mock.patch.object(
        sys.modules["latentrt.samplers.dpm_sde"], "_path", lambda *_: lambda *sigmas: noise.randn(case.shape)
    )
    with wide_tables() if dtype is np.float64 else contextlib.nullcontext(), follow:
        steps = list(
            samplers.iterate(
                case.config,
                network,
                x,
                None if case.given else case.count,
                rng=noise,
                timesteps=case.timesteps,
                sigmas=case.sigmas,
                strength=case.strength,
                **options,
            )
        )
    for step in steps:
        if step.x.dtype != dtype:
            raise AssertionError(f"{case.class_name} computed in {step.x.dtype}")
    return Reference(np.array([step.timestep for step in steps]), [step.x for step in steps])


@dataclass(frozen=True)
class Comparison:
    """How far ours is from diffusers in one case; what is not asked for is not run."""

    case: Case

    @cached_property
    def diffusers(self) -> Reference:
        """diffusers in float32. Raises Invalid where it refuses."""
        return reference(self.case)

    @cached_property
    def diffusers64(self) -> Reference:
        """diffusers in float64, along our sigmas (which are its own but for float32's rounding)."""
        with wide_tables():
            schedule = schedule_of(self.case)
        sigmas = schedule.sigmas / (1 + schedule.sigmas) if schedule.form == "flow" else schedule.sigmas
        return reference(self.case, np.float64, np.array(sigmas), self.diffusers.timesteps)

    @cached_property
    def ours(self) -> Reference:
        """Ours in float32."""
        return ours(self.case)

    @cached_property
    def ours64(self) -> Reference:
        """Ours in float64. The network is told the same timesteps as there, of which some differ by a bit of float32."""
        return ours(self.case, np.float64, self.diffusers.timesteps)

    @cached_property
    def defined(self) -> bool:
        """Whether diffusers gives numbers, not NaN or infinity."""
        return all(np.isfinite(sample).all() for sample in self.diffusers.samples)

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


def worst(one: Reference, other: Reference) -> float:
    """The worst error of any step, relative to the other's largest value there; infinite where one is no number."""
    if len(one.samples) != len(other.samples):
        return np.inf
    with np.errstate(all="ignore"):
        errors = [
            np.abs(a.astype(np.float64) - b).max() / np.abs(b).max()
            for a, b in zip(one.samples, other.samples, strict=True)
        ]
    return float(np.nan_to_num(np.max(errors), nan=np.inf))
