"""Larger than the model was made for: a picture at its size, enlarged, then painted over.

What AUTOMATIC1111 calls hires fix, and as it does it: the second pass draws its noise afresh from the same seeds at the
larger size, and runs all the steps that are asked for, out of a schedule of steps / strength. Not the same: a decoded
and enlarged picture is encoded to the mean of the encoder's distribution, where AUTOMATIC1111 draws from it without a
seed; and sizes of other proportions are refused, where it cuts.
"""

from dataclasses import replace
from typing import Unpack

from latentrt.errors import SettingError
from latentrt.painting.generation import Generation
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.request import make_request
from latentrt.painting.second_pass import Hires
from latentrt.painting.settings import Settings
from latentrt.painting.upscale import find_upscaler

_MAX_STRENGTH = 0.999  # AUTOMATIC1111's; below 999 steps it changes nothing


def start_hires(parts: Parts, prompt: str, hires: Hires, **settings: Unpack[Settings]) -> Generation:
    """Check both passes, and prepare them; nothing is computed yet.

    Raises:
        InputError: a value is out of range; the message names it.
    """
    model = parts.networks.model
    for name in ("timesteps", "sigmas"):
        if settings.get(name) is not None:
            raise SettingError(
                name,
                "does not go with hires, whose second pass runs the last of more steps; give num_inference_steps",
                others=("hires", "num_inference_steps"),
            )
    first = make_request(model, "txt2img", prompt, **settings)
    upscaler = find_upscaler(hires.upscaler)
    width, height = hires.target(first.width, first.height, model.vae_scale_factor)
    steps = first.num_inference_steps if hires.steps is None else hires.steps
    total = int(steps / min(hires.strength, _MAX_STRENGTH))
    # Half a step more than is wanted, so that rounding keeps exactly `steps` of `total`.
    kept = min((steps + 0.5) / total, 1.0)
    larger: Settings = {**settings, "width": width, "height": height, "num_inference_steps": total}
    larger["guidance_scale"] = first.guidance.points  # of a function, what the picture's text tells
    try:
        second = make_request(model, "txt2img", prompt, None, None, kept, **larger)
    except SettingError as error:
        name, problem, others = error.setting, f"second pass: {error.problem}", error.others
        if name == "num_inference_steps":
            name, others = "hires steps", ("hires strength",)
            problem = f"{steps} at hires strength {hires.strength:g} are the last of {total}; {error.problem}"
        raise SettingError(name, problem, others=others) from None
    second = replace(second, seeds=first.seeds)
    record = hires.record(steps) | {"first_pass_width": first.width, "first_pass_height": first.height}
    parameters = [
        replace(
            one, strength=hires.strength, extra=one.extra + hires.metadata(steps), told={**one.told, **record}
        )
        for one in first.parameters(model)
    ]
    return Generation(parts, (Pass(first), Pass(second, upscaler)), parameters)
