"""Which sampler a run takes, and along which schedule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latentrt.errors import InputError, ModelError, SettingError
from latentrt.models.model import Model
from latentrt.models.repairs import for_inpainting
from latentrt.painting.fitting import named
from latentrt.painting.following import NOT_COUNTED, check_sampler
from latentrt.painting.programs import Program, exact, own_name
from latentrt.painting.stages import part
from latentrt.samplers import Sampler, resolve
from latentrt.samplers.registry import schedule_of
from latentrt.schedule import Schedule
from latentrt.schedule.config import check_count
from latentrt.schedule.counted import Counted, counted_schedule
from latentrt.schedule.sigmas import FOR_EACH_FAMILY

# Of one of k-diffusion's schedules, and of a solver's noise.
_SHAPE = ("sigma_min", "sigma_max", "rho", "discard_penultimate")
NOISE = ("eta", "s_noise", "s_churn", "s_tmin", "s_tmax")
_NAMED = ("sampler", "schedule", "num_inference_steps", *_SHAPE, *NOISE, *NOT_COUNTED)


def make_sampling(
    model: Model,
    asked: Mapping[str, Any],
    settings: Mapping[str, Any],
    inpaints: bool,
    program: Program | None = None,
    share: float | None = None,
    second: bool = False,
) -> tuple[Sampler, Schedule]:
    """The sampler of a run and its schedule.

    Args:
        model: what is to paint.
        asked: what was asked for.
        settings: the same, with what counts for the rest (`latentrt.painting.advice`).
        inpaints: whether a mask is painted.
        program: whose way the run follows; None: diffusers'.
        share: of the steps that a picture's noise is taken from, the last; None: all of them.
        second: it is of a second pass, all of whose steps are run, out of more.

    Raises:
        SettingError: what was asked for cannot be; the message names it.
        ModelError: what the model's maker advises, or its scheduler config, cannot be.
    """
    config = for_inpainting(model.scheduler_config) if inpaints else model.scheduler_config
    try:
        if program is not None:
            return _as_program(program, model, settings, config, share, second)
        with named(*_NAMED, "timesteps", "sigmas"):
            sampler = resolve(settings["sampler"], config, settings["schedule"], where=model.scheduler_where)
            if sampler.sigma_schedule is not None:
                sampler = sampler.with_schedule(_of_family(sampler.sigma_schedule, model))
            sampler.check_options(**_asked(None, sampler, settings))
            lists = {name: settings[name] for name in ("timesteps", "sigmas")}
            schedule = sampler.schedule(settings["num_inference_steps"], **lists, shape=_shape(settings))
    except SettingError as error:
        if asked[error.setting] is None and error.setting in model.defaults:
            raise ModelError(f"{model.advice_where}: {error}") from None
        raise
    if share is not None and (second or settings.get("exact_steps")):
        steps = settings["num_inference_steps"]
        with named(*_NAMED):
            schedule = sampler.schedule(exact(steps, share)[0], shape=_shape(settings))
        schedule = schedule.since((schedule.num_inference_steps - steps) * schedule.order)
    elif share is not None:
        with named("strength"):
            schedule = schedule.truncated(share)
    return sampler, schedule


def _as_program(
    program: Program,
    model: Model,
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    share: float | None,
    second: bool,
) -> tuple[Sampler, Schedule]:
    """The same as a program has it."""
    with named(*_NAMED, "strength"):
        name = program.sampler if settings["sampler"] is None else own_name(program, settings["sampler"])
        sampler = resolve(name, config, settings["schedule"], where=model.scheduler_where)
        check_sampler(program, sampler.key)
        if settings.get("zero_snr"):
            sampler = replace(sampler, options={**sampler.options, "rescale_betas_zero_snr": True})
        sampler.check_options(**_asked(program, sampler, settings))
        if (counts := program.counted.get(sampler.key)) is not None:
            return sampler, _counted(sampler, counts, settings, share, second)
        kind = sampler.sigma_schedule or schedule_of(sampler.schedule_type) or program.automatic(sampler.key)
        sampler = sampler.with_schedule(_of_family(kind, model)).with_options(
            program.options.get(sampler.key, {})
        )
        if (predicts := program.predicts.get(sampler.key)) is not None:
            sampler = sampler.with_options({"prediction_type": predicts})
        steps = settings["num_inference_steps"]
        if share is None:
            schedule = sampler.schedule(steps, shape=_shape(settings), convention=program.convention)
            return sampler, part(schedule, settings, program.convention.ends.get(sampler.key, 0.0))
        divide = program.second_pass if second else exact if settings.get("exact_steps") else program.img2img
        whole, kept = divide(steps, share)
        schedule = sampler.schedule(whole, shape=_shape(settings), convention=program.convention)
    left_out = max(schedule.num_inference_steps - kept, 0)
    # A step is two evaluations of some solvers, but for the last.
    begin = min(left_out * schedule.order, len(schedule))
    return sampler, schedule.since(begin) if begin else schedule


def _counted(
    sampler: Sampler, kind: Counted, settings: Mapping[str, Any], share: float | None, second: bool
) -> Schedule:
    """The schedule of a sampler that counts timesteps; of a run from a picture, brought to the last that it leaves."""
    steps = check_count(settings["num_inference_steps"], sampler.options["num_train_timesteps"])
    for name in ("schedule", *_SHAPE, *NOT_COUNTED):
        if settings.get(name):
            raise InputError(f"{name}: {sampler.key} counts timesteps there and has none; expected None")
    if share is None:
        return counted_schedule(kind, sampler.options, steps)
    whole, begin = steps, int(min(share, 0.999) * steps)
    if second or settings.get("exact_steps"):
        whole, begin = exact(steps, share)[0], steps - 1
    return counted_schedule(kind, sampler.options, whole, begin=begin)


def _of_family(schedule: str, model: Model) -> str:
    """A schedule, in place of one that is published for each family apart that of the model's."""
    return f"{schedule}_sdxl" if schedule in FOR_EACH_FAMILY and model.is_xl else schedule


def noise_options(program: Program | None, sampler: Sampler, settings: Mapping[str, Any]) -> dict[str, float]:
    """Options of the sampler's run: what was asked for, else the eta that pictures are painted with."""
    asked = _asked(program, sampler, settings)
    if program is not None:
        asked = {**program.runs_with.get(sampler.key, {}), **asked}
    if "eta" not in asked and sampler.default_eta is not None:
        asked["eta"] = sampler.default_eta
    return {name: value for name, value in asked.items() if name in sampler.run_options}


def _asked(program: Program | None, sampler: Sampler, settings: Mapping[str, Any]) -> dict[str, float]:
    """What was asked for of it, without what the program does not heed."""
    ignored = () if program is None else program.ignores.get(sampler.key, ())
    return {name: settings[name] for name in NOISE if settings.get(name) is not None and name not in ignored}


def _shape(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings.get(name) for name in _SHAPE}
