"""Runs as the samplers of latent diffusion's code count timesteps, DDIM, PLMS and UniPC; AUTOMATIC1111's.

They begin with unit noise and step between training timesteps; none goes to σ = 0. A run from a picture brings it to
the timestep above the one at which it begins.
"""

from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from latentrt.errors import InputError
from latentrt.schedule.classes.common import Float64, Options, chained, exact_alphas_cumprod_of
from latentrt.schedule.ramps import timestep_at
from latentrt.schedule.schedule import Schedule
from latentrt.schedule.sigma_table import LAST_ALPHA, Rounded, sigma_table

Counted: TypeAlias = Literal["ddim", "plms", "unipc"]


def counted_timesteps(train: int, count: int) -> Float64:
    """Every ⌊train/count⌋-th timestep from 1, rising; where that has a remainder, more than were asked for."""
    stride = train // count
    if stride == 0:
        raise InputError(f"num_inference_steps: expected at most {train}, got {count}")
    return np.minimum(np.arange(0, train, stride, dtype=np.float64) + 1, train - 1)


def counted_schedule(
    kind: Counted, options: Options, count: int, *, begin: int | None = None, rounded: Rounded = "alphas"
) -> Schedule:
    """Make the schedule of a run.

    Args:
        kind: `ddim` and `plms` visit `counted_timesteps` from the highest to the second lowest, and end at the lowest;
            PLMS asks twice at the second. `unipc` makes as many steps, evenly from the last training timestep to 0.
        options: of a scheduler class; the betas count.
        count: num_inference_steps.
        begin: of a run from a picture, the place in `counted_timesteps` to which the picture is brought, from 1; the
            run then begins one lower. None: a whole run.
        rounded: see `sigma_table`.

    Raises:
        InputError: there are no such steps.
    """
    table = sigma_table(options, rounded)
    visited = counted_timesteps(len(table.sigmas), count)
    if begin is not None and not 1 <= begin < len(visited):
        raise InputError(f"strength: expected a run of 1 to {len(visited) - 1} steps, got {begin}")
    rest = visited if begin is None else visited[:begin]
    if kind == "unipc":
        top = float(table.last if begin is None else rest[-1])
        timesteps = np.linspace(top, 0, len(rest) + 1)
        sigmas = _between_alphas(options, timesteps)
        made = chained(sigmas, timesteps[:-1])
    else:
        if len(rest) < 2:
            raise InputError(
                "num_inference_steps: the lowest timestep is where the run ends; expected 2 or more steps"
            )
        falling = rest[::-1]
        if kind == "plms":
            falling = np.insert(falling, 1, falling[1])
        sigmas = table.sigmas[falling.astype(np.int64)].astype(np.float64)
        made = chained(sigmas, falling[:-1].copy(), count=len(rest) - 1)
    if begin is not None:
        brought = float(table.sigmas[int(visited[begin])])
        made = replace(made, added=np.full(len(made), brought))
    logs = table.logs.astype(np.float64)
    return replace(made, timestep_of=partial(timestep_at, logs), train_sigmas=table.sigmas.astype(np.float64))


def _between_alphas(options: Options, timesteps: Float64) -> Float64:
    """σ at fractional timesteps, interpolated in log ᾱ."""
    alphas = exact_alphas_cumprod_of(options, LAST_ALPHA)
    alpha = np.exp(np.interp(timesteps, np.arange(len(alphas)), np.log(alphas)))
    return np.sqrt((1 - alpha) / alpha)
