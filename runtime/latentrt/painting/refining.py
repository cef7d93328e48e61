"""The end of a run painted by another model: an ensemble of experts, SDXL's base model and its refiner.

As diffusers does it with `denoising_end` and `denoising_start`: both have the schedule of the whole run; the first
stops where the timesteps fall below a cut, and hands its latents, noise and all, to the second, which goes on from
there (arXiv:2307.01952, section 2.5; arXiv:2211.01324).
"""

from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from latentrt.checks import number
from latentrt.errors import SettingError
from latentrt.models.model import Model
from latentrt.painting.following import refuse
from latentrt.painting.generation import Generation
from latentrt.painting.parameters import parameters_of
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.request import Request
from latentrt.painting.request_maker import make_request
from latentrt.painting.settings import Settings
from latentrt.painting.told import PROMPTS, SCORES, SIZES
from latentrt.pictures.metadata import number_text


def start_refined(
    parts: Parts, refiner: Parts, prompt: str, start: float, **settings: Unpack[Settings]
) -> Generation:
    """Check both halves, and prepare them; nothing is computed yet.

    Args:
        parts: of the model that begins.
        refiner: of that which goes on.
        prompt: what to paint.
        start: the share of the run after which it does, more than 0 and less than 1.
        **settings: of the whole run; each model is told those that it takes.

    Raises:
        InputError: a value is out of range, or the two models do not go together; the message names it.
    """
    share = number("refiner_start", start)
    if not 0 < share < 1:
        raise SettingError("refiner_start", expected="more than 0 and less than 1", got=start)
    model, other = parts.networks.model, refiner.networks.model
    theirs, ours = _latents(other), _latents(model)
    if theirs != ours:
        raise SettingError(
            "refiner",
            f"{other.name} has other latents than {model.name} ({theirs} in place of {ours}); expected one of its kind",
        )
    of_base: Any = {name: value for name, value in settings.items() if name not in SCORES}
    first = make_request(model, "txt2img", prompt, **of_base)
    refuse(first.program, "refiner")
    # The second has what the first settled: a guidance scale that is a function is asked once.
    settled = {"width": first.width, "height": first.height, "num_inference_steps": first.num_inference_steps}
    untold = (*PROMPTS, "target_size", "negative_target_size") if other.num_time_ids == 5 else ()
    untold = (*untold, *SIZES, *SCORES) if not other.is_xl else untold
    of_refiner: Any = {name: value for name, value in settings.items() if name not in untold} | settled
    of_refiner["guidance_scale"] = first.guidance.points
    second = make_request(other, "txt2img", prompt, continues=True, **of_refiner)
    for request in (first, second):
        if request.schedule.order > 1:
            raise SettingError(
                "refiner",
                f"{request.sampler.name} asks its network more than once a step, and cannot be handed over between; "
                "expected a sampler that asks once",
            )
    begins = _evaluations(first, share)
    skipped = _evaluations(second, share)
    if not 0 < begins < len(first.schedule) or not skipped < len(second.schedule):
        raise SettingError(
            "refiner_start", f"{share:g} of {first.num_inference_steps} steps leaves one of both models none"
        )
    first = replace(first, evaluations=begins)
    second = replace(
        second,
        schedule=second.schedule.since(skipped),
        guidance=replace(second.guidance, scales=second.guidance.scales[skipped:]),
        seeds=first.seeds,
    )
    entries = (("Refiner", other.name), ("Refiner switch at", number_text(share)))
    told = {"refiner": other.name, "refiner_start": share}
    parameters = [
        replace(one, extra=one.extra + entries, told={**one.told, **told})
        for one in parameters_of(first, model, parts.networks.placement.dtype_of(model.components["unet"]))
    ]
    return Generation(parts, (Pass(first), Pass(second, parts=refiner)), parameters)


def _latents(model: Model) -> str:
    """What has to be the same in two models of which one goes on with the other's latents."""
    config = model.components["vae_decoder"].config
    said = f"{model.latent_channels} channels of {model.vae_scale_factor} pixels, scaled by {model.scaling_factor:g}"
    told = [
        f", {key} {config[key]}" for key in ("latents_mean", "latents_std") if config.get(key) is not None
    ]
    return said + "".join(told)


def _evaluations(request: Request, share: float) -> int:
    """How many of its schedule come before the cut, as diffusers counts them."""
    train = request.sampler.options["num_train_timesteps"]
    return int(np.count_nonzero(request.schedule.timesteps >= round(train - share * train)))
