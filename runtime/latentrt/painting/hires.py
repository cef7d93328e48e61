"""Larger than the model was made for: a picture at its size, enlarged, then painted over.

What AUTOMATIC1111 calls hires fix, and as it does it: the second pass draws its noise afresh from the same seeds at the
larger size, and runs all the steps that are asked for, out of a schedule of steps / strength. Not the same: a decoded
and enlarged picture is encoded to the mean of the encoder's distribution, where AUTOMATIC1111 draws from it without a
seed. With `like` both passes follow the program, ComfyUI's being two samplers with an upscaler between them.
"""

from dataclasses import replace
from typing import Unpack

from latentrt.errors import SettingError
from latentrt.painting.enlarging import Enlarging
from latentrt.painting.following import has_upscaler
from latentrt.painting.generation import Generation
from latentrt.painting.parameters import parameters_of
from latentrt.painting.parts import Parts
from latentrt.painting.passes import Pass
from latentrt.painting.programs import Program, exact, own_name
from latentrt.painting.request import Request
from latentrt.painting.request_maker import make_request
from latentrt.painting.sampling import NOISE
from latentrt.painting.second_pass import Hires
from latentrt.painting.settings import Settings
from latentrt.painting.upscale import UPSCALERS, Upscaler, find_upscaler
from latentrt.samplers.registry import REGISTRY, find

# Settings of the second pass that may be others, by the names that the first has for them.
_APART = ("sampler", "schedule", "guidance_scale", "negative_prompt")


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
    enlarging = _enlarging(first, hires, model.vae_scale_factor)
    steps = first.num_inference_steps if hires.steps is None else hires.steps
    width, height = enlarging.size
    larger: Settings = {**settings, "width": width, "height": height, "num_inference_steps": steps}
    larger["guidance_scale"] = first.guidance.points  # of a function, what the picture's text tells
    apart = {name: getattr(hires, name) for name in _APART if getattr(hires, name) is not None}
    larger |= apart  # type: ignore[typeddict-item]
    larger |= _without_noise(hires.sampler, first.program)  # type: ignore[typeddict-item]
    told = prompt if hires.prompt is None else hires.prompt
    try:
        second = make_request(model, "txt2img", told, None, None, hires.strength, second=True, **larger)
    except SettingError as error:
        name, problem, others = error.setting, f"second pass: {error.problem}", error.others
        if name in apart:
            name = f"hires {name}"
        if name == "num_inference_steps":
            name, others = "hires steps", ("hires strength",)
            total = exact(steps, hires.strength)[0]
            problem = f"{steps} at hires strength {hires.strength:g} are the last of {total}; {error.problem}"
        raise SettingError(name, problem, others=others) from None
    second = replace(second, seeds=first.seeds if hires.seed is None else first.seeds.begun_at(hires.seed))
    record = hires.record(steps) | {"first_pass_width": first.width, "first_pass_height": first.height}
    parameters = [
        replace(
            one, strength=hires.strength, extra=one.extra + hires.metadata(steps), told={**one.told, **record}
        )
        for one in parameters_of(first, model, parts.networks.placement.dtype_of(model.components["unet"]))
    ]
    return Generation(parts, (Pass(first), Pass(second, enlarging)), parameters)


def _enlarging(first: Request, hires: Hires, factor: int) -> Enlarging:
    """What is done between the passes.

    Raises:
        SettingError: it is not done as the program of the run does.
    """
    program, upscaler = first.program, find_upscaler(hires.upscaler)
    fit = hires.fit("refused" if program is None else program.fits)
    size, covered = hires.target(first.width, first.height, factor, fit)
    if program is not None:
        _check(program, upscaler)
    if fit == "behind" and not upscaler.latent and (covered[0] % factor or covered[1] % factor):
        raise SettingError(
            "hires",
            f"a picture is enlarged to {covered[0]}x{covered[1]} there before it is cut, which is not built for sides "
            f"that are no multiples of {factor}; expected another size, or an upscaler of latents",
            others=("hires upscaler",),
        )
    return Enlarging(upscaler, covered, size, fit, program is not None and program.truncates)


def _check(program: Program, upscaler: Upscaler) -> None:
    """Refuse an upscaler that the program has not.

    Raises:
        SettingError: it is one.
    """
    if not has_upscaler(program, upscaler.label):
        known = [key for key in UPSCALERS if key in program.upscalers]
        raise SettingError(
            "hires upscaler",
            f"{upscaler.label} is not computed as {program.name} does; expected one of {', '.join(known)}",
        )


def _without_noise(sampler: str | None, program: Program | None) -> dict[str, None]:
    """Settings of samplers' noise that another sampler of the second pass lacks, and that the first alone heeds."""
    if sampler is None:
        return {}
    found = find(sampler if program is None else own_name(program, sampler))
    return {} if found is None else {name: None for name in NOISE if name not in REGISTRY[found.key].takes}
