"""Which sampler a run takes, and along which schedule."""

from collections.abc import Mapping
from typing import Any

from latentrt.errors import ModelError, SettingError
from latentrt.models.model import Model
from latentrt.models.repairs import for_inpainting
from latentrt.painting.fitting import named
from latentrt.samplers import Sampler, resolve
from latentrt.schedule import Schedule


def make_sampling(
    model: Model, asked: Mapping[str, Any], settings: Mapping[str, Any], inpaints: bool
) -> tuple[Sampler, Schedule]:
    """The sampler of a run and its whole schedule.

    Args:
        model: what is to paint.
        asked: what was asked for.
        settings: the same, with what counts for the rest (`latentrt.painting.advice`).
        inpaints: whether a mask is painted.

    Raises:
        SettingError: what was asked for cannot be; the message names it.
        ModelError: what the model's maker advises, or its scheduler config, cannot be.
    """
    config = for_inpainting(model.scheduler_config) if inpaints else model.scheduler_config
    try:
        with named("sampler", "schedule", "eta", "num_inference_steps", "timesteps", "sigmas"):
            sampler = resolve(settings["sampler"], config, settings["schedule"], where=model.scheduler_where)
            if settings["eta"] is not None:
                sampler.check_options(eta=settings["eta"])
            lists = {name: settings[name] for name in ("timesteps", "sigmas")}
            return sampler, sampler.schedule(settings["num_inference_steps"], **lists)
    except SettingError as error:
        if asked[error.setting] is None and error.setting in model.defaults:
            raise ModelError(f"{model.advice_where}: {error}") from None
        raise
