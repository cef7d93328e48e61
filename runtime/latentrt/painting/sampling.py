"""Which sampler a run takes, and along which schedule."""

from collections.abc import Mapping
from typing import Any

from latentrt.models.model import Model
from latentrt.models.repairs import for_inpainting
from latentrt.painting.advice import filled
from latentrt.painting.fitting import advised_by, named
from latentrt.samplers import Sampler, resolve
from latentrt.schedule import Schedule

_ADVISED = ("sampler", "eta", "timesteps", "num_inference_steps")


def make_sampling(
    model: Model, asked: Mapping[str, Any], settings: Mapping[str, Any], inpaints: bool
) -> tuple[Sampler, Schedule]:
    """The sampler of a run and its whole schedule.

    Args:
        model: what is to paint.
        asked: what was asked for.
        settings: the same, `filled`.
        inpaints: whether a mask is painted.

    Raises:
        SettingError: what was asked for cannot be; the message names it.
        ModelError: what the model's maker advises, or its scheduler config, cannot be.
    """
    config = for_inpainting(model.scheduler_config) if inpaints else model.scheduler_config
    with named("sampler", "schedule", "eta", "num_inference_steps", "timesteps", "sigmas"):
        if any(settings.get(name) is not None and asked.get(name) is None for name in _ADVISED):
            with advised_by(model):
                _make(model, config, filled(model, {}))
        return _make(model, config, settings)


def _make(model: Model, config: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[Sampler, Schedule]:
    sampler = resolve(settings.get("sampler"), config, settings.get("schedule"), where=model.scheduler_where)
    if (eta := settings.get("eta")) is not None:
        sampler.check_options(eta=eta)
    lists = {name: settings.get(name) for name in ("timesteps", "sigmas")}
    return sampler, sampler.schedule(settings.get("num_inference_steps"), **lists)
