"""Runs that are a part of another: from which step to which, with the noise that is left or without."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latentrt.errors import SettingError
from latentrt.painting.programs import Program
from latentrt.painting.setting import declared
from latentrt.painting.stage_settings import StageSettings
from latentrt.schedule import Schedule

# Those that say which steps are run, as `strength` does.
STEPS = ("start_at_step", "end_at_step", "leftover_noise", "add_noise")


def settle_stage(
    program: Program | None, run: str, given: Mapping[str, Any], asked: dict[str, Any], second: bool
) -> None:
    """Refuse what of these settings does not count, and leave to them which steps are run.

    Args:
        program: whose way the run follows.
        run: a key of `RUNS`.
        given: what was asked for.
        asked: all of the run; its strength becomes None where another setting says which steps are run.
        second: it is a second pass.

    Raises:
        SettingError: something is asked for that counts for nothing here.
    """
    named = [name for name in declared(StageSettings) if given.get(name) is not None]
    if not named:
        return
    if program is None or not program.stages:
        raise SettingError(
            named[0], "is of ComfyUI's nodes; expected None, or like comfyui", others=("like",)
        )
    if second or run == "inpaint":
        raise SettingError(named[0], f"does not go with {'hires' if second else 'a mask'}; expected None")
    if asked["leftover_noise"] and asked["end_at_step"] is None:
        raise SettingError("leftover_noise", "no noise is left without end_at_step", others=("end_at_step",))
    if asked.get("exact_steps") and any(name in STEPS for name in named):
        raise SettingError("exact_steps", f"does not go with {named[0]}; expected None", others=(named[0],))
    if "strength" not in asked or not any(name in STEPS for name in named):
        return
    if given.get("strength") is not None:
        raise SettingError(
            "strength",
            f"does not go with {named[0]}; expected one of both, as each says which steps are run",
            others=(named[0],),
        )
    asked["strength"] = None


def part(schedule: Schedule, settings: Mapping[str, Any], lowest: float = 0.0) -> Schedule:
    """The steps of a whole schedule that a run has, by its settings.

    Args:
        schedule: whole.
        settings: of the run.
        lowest: the σ at which the sampler's runs end where no noise is to be left.

    Raises:
        SettingError: none is left.
    """
    count = schedule.steps
    start, end = settings["start_at_step"], settings["end_at_step"]
    end = count if end is None else min(end, count)
    if start >= end:
        name = "start_at_step" if settings["end_at_step"] is None else "end_at_step"
        raise SettingError(
            name, f"no step is left from {start} on, before {end}", others=("start_at_step", "end_at_step")
        )
    if (start, end) == (0, count):
        return schedule
    if end < count:
        schedule = schedule.until(end, None if settings["leftover_noise"] else lowest)
    scale = schedule.initial_scale
    if start:
        schedule = schedule.since(start * schedule.order)
        scale = float(schedule.sigmas[0])
    # To the solver it is a run of its own.
    return replace(schedule, initial_scale=scale, num_inference_steps=end - start, whole=None)
