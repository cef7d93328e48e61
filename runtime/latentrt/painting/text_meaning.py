"""What a picture's text means, as settings of a run."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latentrt.errors import InputError, SettingError, TextError
from latentrt.painting.following import NOT_COUNTED, WITH_PROGRAM, has_upscaler
from latentrt.painting.kinds import Size, Whole
from latentrt.painting.parameters import EMPTY_NEGATIVE
from latentrt.painting.picture_settings import IMAGE_SCALE_ENTRY, NOISE_LEVEL_ENTRY, InpaintSettings
from latentrt.painting.programs import PROGRAMS, Program, own_name
from latentrt.painting.setting import Entry, Setting, declared
from latentrt.painting.settings import Settings
from latentrt.painting.text_entries import unheeded
from latentrt.painting.text_hires import has_two_passes, hires_of
from latentrt.painting.text_sampler import draws_on_gpu, sampler_of
from latentrt.pictures.grammar import found_in, literal
from latentrt.pictures.writers import PictureText
from latentrt.pictures.writers.programs import LATENTRT
from latentrt.samplers.registry import find

# Entries that only pictures painted over another picture have.
_OVER_PICTURE = (
    IMAGE_SCALE_ENTRY,
    NOISE_LEVEL_ENTRY,
    "Init image hash",
    "Init image size",
    "Init image",
    "Noise multiplier",
    "Mask blur",
    "Mask mode",
    "Masked content",
    "Inpaint area",
    "Masked area padding",
)
STRENGTH = "Denoising strength"
_SECOND_PROMPTS = {"prompt": "Hires prompt", "negative_prompt": "Hires negative prompt"}
# What makes a picture: settings, and the entries that tell of them.
_TELLING = {
    "num_inference_steps": "Steps",
    "seed": "Seed",
    "guidance_scale": "CFG scale",
    "width": "Size",
}
# Who draws the noise, as texts call it.
_RNG = {"nv": "nv", "cuda": "nv", "gpu": "nv", "cpu": "cpu"}
_NOISE = {"nv": "as torch on CUDA", "cpu": "as torch on the CPU"}


@dataclass(frozen=True)
class Meaning:
    """What a text means.

    Attributes:
        settings: as arguments of the kind of run that was asked for, those that the text has.
        noise: who draws the noise and why that is taken, in words.
        unheeded: names of what changes the picture and is not heeded.
        untold: names of entries that make a picture and are not there.
    """

    settings: dict[str, Any]
    noise: str
    unheeded: tuple[str, ...]
    untold: tuple[str, ...]


def meaning(
    text: PictureText,
    of: type = Settings,
    *,
    given: Collection[str] = (),
    plain: bool = False,
    second: Collection[str] = (),
    sampler: str | None = None,
) -> Meaning:
    """What a text means, as settings of a kind of run.

    Args:
        text: of the picture.
        of: the settings of that kind, as `Settings` or `Img2ImgSettings`.
        given: names of settings that win, and of which the text may say what is not here.
        plain: see `latentrt.recall`.
        second: fields of the second pass that win, which are put in later.
        sampler: that wins, if any.

    Raises:
        as `latentrt.recall`.
    """
    if text.unreadable:
        raise TextError(text.unreadable)
    ours, entries = text.writer is LATENTRT, text.entries
    prompts = {"prompt": text.prompt, "negative_prompt": text.negative_prompt}
    prompt, negative = _prompts(text, prompts, given, plain)
    # An empty one is as good as none, but where latentrt says that it was given to a model which tells them apart.
    told_empty = ours and entries.get(EMPTY_NEGATIVE[0]) == EMPTY_NEGATIVE[1]
    rng, noise, names = _noise(text, given)
    settings: dict[str, Any] = {
        "prompt": prompt,
        "negative_prompt": negative if negative or told_empty else None,
        "rng": rng,
        **sampler_of(text, given),
    }

    def told(name: str, setting: Setting) -> Any:
        return _told(name, setting, text, ours or name.startswith("hires "))

    heeded = set()
    for name, setting in declared(of).items():
        heeded |= {entry.key for entry in setting.entries if ours or not entry.ours}
        if name not in settings:
            with _outdone(name in given):
                settings[name] = told(name, setting)
    if settings.get("mask_blur", 0.0) is None and not ours:
        settings["mask_blur"] = 0.0  # which others leave out
    if "Size" in entries:
        with _outdone({"width", "height"} <= set(given)):
            settings["width"], settings["height"] = Size().read("width", entries["Size"])
    if ours and "Batch pos" in entries:
        settings["num_images"] = Whole(1).read("num_images", entries.get("Batch size", ""))
    two_passes = has_two_passes(text)
    if two_passes and "hires" not in given:
        said = {name: entries[key] for name, key in _SECOND_PROMPTS.items() if key in entries}
        plain_text = _prompts(text, {f"hires {name}": one for name, one in said.items()}, given, plain)
        own = {**dict.fromkeys(_SECOND_PROMPTS), **dict(zip(said, plain_text, strict=True))}
        settings["hires"] = hires_of(text, told, settings.get("num_inference_steps"), own, second)
    names += unheeded(text, heeded)
    if STRENGTH in entries and not two_passes and "strength" not in settings:
        names.append(f"{STRENGTH} (of a picture that may have been painted over another)")
    told_of = {*given, *(name for name, value in settings.items() if value is not None)}
    if {"timesteps", "sigmas"} & told_of:
        told_of.add("num_inference_steps")
    untold = [key for name, key in _TELLING.items() if name not in told_of]
    if "like" not in given and text.writer is not LATENTRT:
        settings["like"] = like = _like(text, of, settings, sampler)
        if like is None and text.writer.like != "diffusers":
            names.append(f"how {text.writer.name} computes")
        names += _left(settings, of, PROGRAMS.get(like or ""), sampler)
        if like == "forge" and of is InpaintSettings and text.entries.get("RNG", "").upper() == "NV":
            names.append("the noise over what the mask keeps, which no seed sets there")
    if "rng" not in given and PROGRAMS.get(settings.get("like") or "") is not None:
        settings["rng"] = settings["rng"] or "cpu"  # which is not every program's own
    return Meaning(settings, noise, tuple(names), tuple(untold))


def over_picture(text: PictureText) -> bool:
    """Whether it tells of a picture that was painted over another."""
    if any(key in text.entries for key in _OVER_PICTURE):
        return True
    return STRENGTH in text.entries and text.writer.strength and not has_two_passes(text)


def _prompts(text: PictureText, prompts: Mapping[str, str], given: Collection[str], plain: bool) -> list[str]:
    """Prompts, by what they are, as plain text."""
    made, refused = [], []
    attention = text.entries.get("Emphasis", "").lower() not in ("none", "ignore")
    grammar = text.writer.grammar
    for name, prompt in prompts.items():
        found = []
        if not plain and name not in given:
            found = found_in(prompt, grammar, negative=name.endswith("negative_prompt"), attention=attention)
        refused += [f"{'' if name == 'prompt' else name.replace('_', ' ') + ': '}{one}" for one in found]
        made.append(prompt if plain else literal(prompt, grammar))
    if refused:
        raise InputError(
            f"the prompt was no plain text to {text.writer.name}, and nothing here reads this of it: "
            f"{'; '.join(refused)}; say another prompt, or that it is to be taken as plain text (plain=True, --plain)"
        )
    return made


def _noise(text: PictureText, given: Collection[str]) -> tuple[str | None, str, list[str]]:
    """`rng`, who that is and why it is taken, and names of what is not heeded."""
    named = text.entries.get("RNG", "").lower()
    rng, name = _RNG.get(named), text.writer.name
    if "rng" in given:
        return None, "as was asked", []
    names = ["fresh noise of the GPU"] if draws_on_gpu(text) else []
    if named and rng is None:
        return None, f"{_NOISE['cpu']}; its own, {named!r}, is not here", [*names, "RNG"]
    why = f"RNG: {text.entries['RNG']}" if named else f"{name}'s default"
    if not named and text.writer.rng:
        rng = text.writer.rng
    if rng is None:
        return (
            None,
            f"{_NOISE['cpu']}; whose it was is not said",
            [*names, "whose noise it was, which is not said"],
        )
    return (None if rng == "cpu" else rng), f"{_NOISE[rng]} ({why})", names


def _like(text: PictureText, of: type, settings: Mapping[str, Any], sampler: str | None) -> str | None:
    """The program whose way a run follows; None where it is diffusers', or this run cannot follow it."""
    program = PROGRAMS.get(text.writer.like)
    # Of programs after ComfyUI each has a way of its own to make masks.
    if program is None or (of is InpaintSettings and text.writer.like == "comfyui"):
        return None
    samplers, hires = [settings.get("sampler") if sampler is None else sampler], settings.get("hires")
    if hires is not None:
        if not has_upscaler(program, hires.upscaler):
            return None
        samplers += [hires.sampler] * (hires.sampler is not None)
    found = [None if name is None else find(own_name(program, name)) for name in samplers]
    known = all(one is not None and one.key in program.samplers for one in found)
    return program.name if known else None


def _left(settings: dict[str, Any], of: type, program: Program | None, sampler: str | None) -> list[str]:
    """Leave out what is heeded with a program alone, or not of samplers that count timesteps; gives its entries."""
    name, left = settings.get("sampler") if sampler is None else sampler, []
    for key in WITH_PROGRAM:
        found = None if program is None or name is None else find(own_name(program, name))
        counts = found is not None and program is not None and found.key in program.counted
        if settings.get(key) and (program is None or (counts and key in NOT_COUNTED)):
            settings[key] = None
            left.append(declared(of)[key].entries[0].key)
    return left


@contextlib.contextmanager
def _outdone(given: bool) -> Iterator[None]:
    """What makes no sense is refused, unless another value wins anyway."""
    try:
        yield
    except SettingError:
        if not given:
            raise


def _told(name: str, setting: Setting, text: PictureText, ours: bool) -> Any:
    """What the last of a setting's entries says that is there."""
    values = [
        _value(name, setting, entry, text.entries) for entry in setting.entries if ours or not entry.ours
    ]
    return next((value for value in reversed(values) if value is not None), None)


def _value(name: str, setting: Setting, entry: Entry, entries: Mapping[str, str]) -> Any:
    text = entries.get(entry.key)
    if text is None:
        return None
    value = (setting.kind if entry.kind is None else entry.kind).read(name, text)
    if entry.first:
        return max(value - entry.first, 0)
    return value[0] if isinstance(value, list) and len(value) == 1 else value
