"""A case run by ours. Needs no torch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from latentrt import samplers
from latentrt.schedule import Schedule
from latentrt.schedule.classes import common
from parity.case import Case, Drawn, Noise


@dataclass(frozen=True)
class Run:
    """What a run gives: float timesteps and, after each step, the sample."""

    timesteps: np.ndarray
    samples: list[np.ndarray]


@contextlib.contextmanager
def wide_tables() -> Iterator[None]:
    """Let ours compute its tables of σ in float64 too; it takes some in float32, as diffusers does."""
    narrow = common.alphas_cumprod_of
    with mock.patch.object(common, "alphas_cumprod_of", lambda options: narrow(options).astype(np.float64)):
        yield


def schedule_of(case: Case) -> Schedule:
    """Our schedule of the case."""
    return samplers.resolve(None, case.config).schedule(
        None if case.given else case.count,
        timesteps=case.timesteps,
        sigmas=case.sigmas,
        mu=case.run.get("mu"),
    )


def ours(case: Case, dtype: type = np.float32, told: np.ndarray | None = None) -> Run:
    """The case's run with `latentrt.samplers.iterate`; see `oracle.reference`."""
    noise = Noise(case.seed)
    x = noise.randn(case.shape).astype(dtype)
    options: dict[str, Any] = dict(case.run)
    network = case.network
    if told is not None:
        timesteps = iter(told)
        network = lambda x, timestep: case.network(x, float(next(timesteps)))  # noqa: E731
    with wide_tables() if dtype is np.float64 else contextlib.nullcontext():
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
                path=Drawn(noise, case.shape) if case.class_name == "DPMSolverSDEScheduler" else None,
                **options,
            )
        )
    for step in steps:
        if step.x.dtype != dtype:
            raise AssertionError(f"{case.class_name} computed in {step.x.dtype}")
    return Run(np.array([step.timestep for step in steps]), [step.x for step in steps])
