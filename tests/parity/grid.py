"""The grid of combinations, one class after another, always the same."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.case import Case
from parity.options import COUNTS, SPACES


def cases(class_name: str) -> Iterator[Case]:
    """Combinations of a class's options without end, none twice; the counts take turns.

    Half of all options have their first value, the others any, so that neighbours of the default are tried as well as
    the far corners.
    """
    space = SPACES[class_name]
    choose = random.Random(class_name)
    counts = itertools.cycle(space.get("count", COUNTS))
    seen: set[str] = set()
    misses = 0
    while misses < 2000:
        picked = {
            key: values[0] if choose.random() < 0.5 else choose.choice(values)
            for key, values in space.items()
            if key != "count"
        }
        case = _case(class_name, picked, next(counts))
        label = case.label()
        misses = misses + 1 if label in seen else 0
        if label not in seen:
            seen.add(label)
            yield case


def _case(class_name: str, picked: dict[str, Any], count: int) -> Case:
    config: dict[str, Any] = {}
    strength, kind = picked.pop("strength", None), picked.pop("given", None)
    for key, value in sorted(picked.items(), key=lambda item: item[0].startswith("*")):
        config |= value if key.startswith("*") else {key: value}
    run = {key.removeprefix("run."): value for key, value in config.items() if key.startswith("run.")}
    config = {key: value for key, value in config.items() if not key.startswith("run.")}
    if config.get("steps_offset"):
        # Beyond the last training timestep there is nothing to look up; diffusers raises IndexError.
        last = config.get("num_train_timesteps", 1000) - 1
        stride = (last + 1) // count
        if (
            config.get("timestep_spacing") == "leading"
            and (count - 1) * stride + config["steps_offset"] > last
        ):
            config["steps_offset"] = 0
    train = config.get("num_train_timesteps", 1000)
    timesteps = given("timesteps", class_name, count, train) if kind in ("timesteps", "both") else None
    sigmas = given("sigmas", class_name, count, train) if kind in ("sigmas", "both") else None
    if kind is not None or (strength is not None and int(count * strength) == 0):
        strength = None
    return Case(class_name, {"_class_name": class_name, **config}, count, run, timesteps, sigmas, strength)


def given(kind: str, class_name: str, count: int, train: int) -> list[float]:
    """Timesteps or sigmas of one's own, in the class's terms."""
    # Numbers that float32 holds exactly: diffusers rounds them.
    fall = ((count - np.arange(count)) / count) ** 1.3  # 1 … > 0
    fall = fall.astype(np.float32).astype(np.float64)
    if kind == "timesteps":
        whole = class_name != "FlowMatchEulerDiscreteScheduler"
        return ((train - 1) * fall).round().astype(int).tolist() if whole else (train * fall).tolist()
    if class_name == "EDMEulerScheduler":
        return (1 - fall).tolist()  # these are ramps from sigma_max to sigma_min
    if class_name == "EulerDiscreteScheduler":
        return [*(16.0 * fall).tolist(), 0.0]
    return fall.tolist()
