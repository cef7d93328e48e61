"""What counts where nothing is asked for: what the model's maker advises, else what most models want."""

from collections.abc import Mapping
from typing import Any

from latentrt.models.model import Model
from latentrt.painting.fitting import advised_by
from latentrt.painting.picture_settings import Img2ImgSettings
from latentrt.painting.setting import declared

DEFAULT_STEPS = 25
DEFAULT_GUIDANCE_SCALE = 7.5
DEFAULT_UPSCALING_SCALE = 9.0  # diffusers'
DEFAULT_IMAGE_GUIDANCE_SCALE = 1.5  # diffusers'

# What decides where a run evaluates its network: advised together, so that whoever asks for one asks for all.
_SAMPLING = ("sampler", "schedule", "num_inference_steps", "timesteps", "sigmas")


def filled(model: Model, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, with what counts for those that were not asked for (absent, or None).

    Timesteps are of the sampler and of the number of steps that they are advised with, and eta is of the sampler: where
    another is asked for, they do not count.

    Args:
        model: what is to paint.
        asked: settings by name, checked.

    Raises:
        ModelError: what is advised is no value of its setting.
    """
    settings = dict(asked)
    with advised_by(model):
        advice = {
            name: setting.kind.check(name, model.defaults[name])
            for name, setting in declared(Img2ImgSettings).items()
            if model.defaults.get(name) is not None
        }

    def fill(name: str, default: Any = None, beside: tuple[str, ...] = ()) -> None:
        if all(asked.get(one) is None for one in (name, *beside)):
            settings[name] = advice.get(name, default)

    listed = advice.get("timesteps")
    steps = DEFAULT_STEPS if listed is None else len(listed)
    fill("timesteps", beside=_SAMPLING)
    fill("num_inference_steps", None if settings["timesteps"] else steps, ("timesteps", "sigmas"))
    fill("eta", beside=("sampler",))
    fill("sampler")
    fill("guidance_scale", DEFAULT_UPSCALING_SCALE if model.purpose == "upscale" else DEFAULT_GUIDANCE_SCALE)
    fill("guidance_rescale")
    if model.purpose == "edit":
        fill("image_guidance_scale", DEFAULT_IMAGE_GUIDANCE_SCALE)
    return settings
