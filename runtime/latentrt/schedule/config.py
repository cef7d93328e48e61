"""What a `scheduler_config.json` means to a diffusers class: its options settled and checked, its schedule made."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentrt.checks import number
from latentrt.errors import InputError
from latentrt.schedule.classes import CLASSES
from latentrt.schedule.classes.common import SchedulerClass, Steps, ve_sigmas
from latentrt.schedule.comfy import NO_PROGRAM, Convention, comfy_schedule
from latentrt.schedule.options import LEAST, MOST, ConfigError, blamed_on, settle, shown
from latentrt.schedule.ramps import timestep_at
from latentrt.schedule.schedule import Schedule

_EXCLUSIVE = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
# A sigma found by another way than its neighbour may lie above it by so much, of itself: float32's rounding.
_ROUNDING = 1e-6


def from_config(
    class_name: str, config: Mapping[str, Any], *, where: str | Path | None = None, **overrides: Any
) -> dict[str, Any]:
    """Settle every option as diffusers' `Class.from_config(config, **overrides)` does.

    Options of other classes are passed over, as there, and so are those that no class has (any more), and those that
    the config names in `_use_default_values`. An override of an option that the class lacks is passed over, too.

    Args:
        class_name: a key of `CLASSES`.
        config: a parsed `scheduler_config.json`, of this class or of another.
        where: the file that it comes from, which errors then name; None: it is the caller's.
        overrides: options that win over the config, of the caller.

    Raises:
        InputError: an override is of another kind or out of range; without `where` any option.
        ModelError: with `where`, an option of the config is.
    """
    built = CLASSES[class_name]
    defaults = {**built.defaults, **built.carried}
    won = {key: value for key, value in overrides.items() if key in defaults}
    with blamed_on(where):
        ignored = config.get("_use_default_values") or ()
        if not isinstance(ignored, list | tuple):
            raise ConfigError(f"_use_default_values: expected a list of names, got {shown(ignored)}")
        said = {
            key: value
            for key, value in config.items()
            if key in defaults and key not in ignored and key not in won
        }
        try:
            options = {**defaults, **{key: _settled(built, key, value) for key, value in said.items()}}
        except ValueError as error:
            raise ConfigError(str(error)) from None
        try:
            options |= {key: _settled(built, key, value) for key, value in won.items()}
        except ValueError as error:
            raise InputError(str(error)) from None
        if sum(options.get(key, False) for key in _EXCLUSIVE) > 1:
            raise ConfigError(f"only one of {', '.join(_EXCLUSIVE)} can be true")
    return options


def _settled(built: SchedulerClass, key: str, value: Any) -> Any:
    """An option as the class takes it. Raises ValueError."""
    if isinstance(value, str):
        value = built.renamed.get(key, {}).get(value, value)
    return settle(key, value, built.supported.get(key))


def make_schedule(
    class_name: str,
    options: Mapping[str, Any],
    num_inference_steps: int | None,
    *,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
    mu: float | None = None,
    sigma_schedule: str | None = None,
    shape: Mapping[str, Any] | None = None,
    convention: Convention = NO_PROGRAM,
    key: str = "",
    where: str | Path | None = None,
) -> Schedule:
    """Make the schedule of a run, as the class's `set_timesteps` does.

    Args:
        class_name: a diffusers class, a key of `CLASSES`.
        options: all of its options, as `from_config` settles them.
        num_inference_steps: 1 … num_train_timesteps; None with `timesteps` or `sigmas`, which say how many.
        timesteps: to be visited, descending, where the class takes them.
        sigmas: in the class's own terms and length, where it takes them.
        mu: the shift of flow matching, where `use_dynamic_shifting` is set.
        sigma_schedule: one of ComfyUI's, in place of the class's own.
        shape: of that schedule: sigma_min, sigma_max, rho, discard_penultimate; see `comfy_schedule`.
        convention: of a program, with `sigma_schedule`; see `comfy_schedule`.
        key: of the sampler, likewise.
        where: the file that the options come from, which errors then name; None: they are the caller's.

    Raises:
        InputError: a number of steps out of range; something that the class does not take. Without `where` also options
            that contradict each other, or of which no run can be made: noise levels that are infinite, 0 or rising.
        ModelError: with `where`, the options do so.
    """
    built = CLASSES[class_name]
    asked = {} if shape is None else {name: value for name, value in shape.items() if value}
    if asked and sigma_schedule is None:
        raise InputError(
            f"{next(iter(asked))}: {class_name}'s own schedule has none; expected None, or a schedule"
        )
    own = {"timesteps": timesteps, "sigmas": sigmas, "mu": mu}
    given = [key for key, value in own.items() if value is not None]
    for key in given:
        if sigma_schedule is not None:
            raise InputError(f"{key}: expected None with the schedule {sigma_schedule}")
        if key not in built.custom:
            takers = ", ".join(name for name, other in CLASSES.items() if key in other.custom)
            raise InputError(f"{key}: {class_name} takes none; expected None, or a class that does: {takers}")
    custom = {key: _numbers(key, value) for key, value in (("timesteps", timesteps), ("sigmas", sigmas))}
    lengths = [len(values) for values in custom.values() if values is not None]
    count = lengths[0] if lengths else check_count(num_inference_steps, options["num_train_timesteps"])
    steps = Steps(count, **custom, mu=None if mu is None else number("mu", mu))
    with blamed_on(where):
        schedule, flaw = None, "numbers beyond what a float64 holds"
        try:
            with np.errstate(all="ignore"):
                if sigma_schedule is not None:
                    schedule = comfy_schedule(
                        sigma_schedule, class_name, options, count, convention=convention, key=key, **asked
                    )
                else:
                    schedule = built.build(options, steps)
            if "beta_start" in options:
                schedule = _with_others(schedule, options)
            flaw = _flaw(schedule, rescaled=bool(options.get("rescale_betas_zero_snr")))
        except ArithmeticError:
            pass
        if schedule is None or flaw:
            expected = "expected finite noise levels above 0 that descend"
            if given:
                raise InputError(f"{given[0]}: {flaw}; {expected}")
            raise ConfigError(
                f"{_unusual(built, options)}: a run of {count} steps would have {flaw}; {expected}"
            )
    if lengths and num_inference_steps not in (None, schedule.num_inference_steps):
        raise InputError(
            f"num_inference_steps: {', '.join(key for key in custom if custom[key] is not None)} of {class_name} make "
            f"{schedule.num_inference_steps} steps; expected that or None, got {num_inference_steps!r}"
        )
    return schedule


def _with_others(schedule: Schedule, options: Mapping[str, Any]) -> Schedule:
    """The schedule with what is known of the sigmas that it does not visit, where it says nothing of them itself."""
    table, sigmas = schedule.train_sigmas, ve_sigmas(options)
    with np.errstate(divide="ignore"):  # of a first beta of 0
        logs = np.log(sigmas)
    return replace(
        schedule,
        # A fraction, as diffusers' classes find it of Karras' and the like.
        timestep_of=schedule.timestep_of or partial(timestep_at, logs),
        train_sigmas=sigmas.astype(np.float64) if table is None else table,
    )


def _flaw(schedule: Schedule, *, rescaled: bool) -> str:
    """What of the schedule no run can go by; empty where all is well.

    Args:
        schedule: to be looked at.
        rescaled: to zero terminal SNR, where the last σ of training may be less than the last but one.
    """
    sigmas, last = schedule.sigmas[:-1], float(schedule.sigmas[-1])
    wrong = ~((sigmas >= LEAST) & (sigmas <= MOST))
    if wrong.any():
        step = int(wrong.argmax())
        return f"σ = {sigmas[step]:g} at step {step + 1}"
    if not 0 <= last <= MOST:
        return f"σ = {last:g} at its end"
    # Where the run ends may lie above: diffusers takes a sigma of training for it, whatever those of the run are.
    begins = sigmas[:: schedule.order]
    rises = np.flatnonzero(np.diff(begins) > _ROUNDING * begins[:-1])
    if len(rises) and not rescaled:
        step = int(rises[0])
        return f"σ rising from {begins[step]:g} to {begins[step + 1]:g} at step {step + 1}"
    if not np.isfinite(schedule.timesteps).all():
        return f"the timestep {schedule.timesteps[~np.isfinite(schedule.timesteps)][0]:g}"
    return ""


def _unusual(built: SchedulerClass, options: Mapping[str, Any]) -> str:
    """The options that are not as the class has them by itself, among which is the fault."""
    defaults = {**built.defaults, **built.carried}
    said = [f"{key} {shown(value)}" for key, value in options.items() if value != defaults.get(key)]
    return ", ".join(said) or "the class's defaults"


def check_count(value: Any, train: int) -> int:
    """A number of steps from 1 to `train`.

    Raises:
        InputError: it is none.
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise InputError(f"num_inference_steps: expected an integer, got {value!r}") from None
    if not 1 <= count <= train:
        raise InputError(f"num_inference_steps: expected an integer from 1 to {train}, got {count}")
    return count


def _numbers(key: str, values: Sequence[float] | None) -> NDArray[np.float64] | None:
    """Finite numbers, at least one.

    Raises:
        InputError: they are something else.
    """
    if values is None:
        return None
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{key}: expected a list of numbers, got {values!r:.80}") from None
    if numbers.ndim != 1 or len(numbers) == 0 or not np.isfinite(numbers).all():
        raise InputError(f"{key}: expected a list of finite numbers, at least one, got {values!r:.80}")
    return numbers
