"""The way back: from the text that a picture carries to the settings that make it again."""

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from latentrt.errors import InputError
from latentrt.painting.kinds import Number, Size, Text, Whole, several
from latentrt.painting.picture_settings import IMAGE_SCALE_ENTRY, refuse_others
from latentrt.painting.request import EMPTY_NEGATIVE
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import Entry, Setting, declared
from latentrt.painting.settings import Settings
from latentrt.pictures.metadata import FIELDS, GenerationParameters, parse_parameters
from latentrt.samplers import CLASS_ENTRY, SCHEDULE_ENTRY

# With another of these, a picture's timesteps or sigmas do not come back.
_SPACING = ("sampler", "schedule", "num_inference_steps", "timesteps", "sigmas")


class Recalled(Settings, total=False):
    """The arguments of `Pipeline.txt2img`."""

    prompt: str
    hires: Hires | None


# Entries that tell of another model, or of a part of one: only who gives it again makes the picture again.
GIVEN = ("Refiner", "VAE", "Text encoder", "UNet", "Prediction type")


class NotHeeded(UserWarning):
    """A picture's text asks for something that nothing here heeds, and the picture will look different.

    Attributes:
        names: of the entries.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the picture will look different: not heeded here: {', '.join(names)}")
        self.names = tuple(names)


def recall(text: str, **given: Unpack[Recalled]) -> Recalled:
    """What makes a picture of `txt2img` again, as its arguments: `pipeline.txt2img(**recall(text))`.

    A picture that was one of several out of one stream of noise comes again with them all, in its place.

    Args:
        text: what a picture made by latentrt or AUTOMATIC1111 carries: `latentrt.read_parameters`. The model is not
            looked for.
        **given: these win. With another seed the picture is another, and no part of its noise comes back; with another
            sampler neither do the schedule and eta, and with another number of steps no timesteps. `hires=None` leaves
            out the second pass.

    Raises:
        InputError: the text tells of a picture over another picture, which it does not hold, or of a grid of pictures.
        SettingError: an entry of it makes no sense, or what is given is no argument of `txt2img`.

    Warns:
        NotHeeded: it asks for something else than latentrt does.
    """
    refuse_others("txt2img", [name for name in given if name not in ("prompt", "hires")])
    p = parse_parameters(Text().check("text", text))
    extra = dict(p.extra)
    if extra.get("Script", "").startswith("X/Y"):
        axes = ", ".join(extra[f"{name} Type"] for name in "XYZ" if f"{name} Type" in extra)
        raise InputError(
            f"this is a grid of pictures over {axes or 'several settings'}, and says how the first alone was made; "
            "take one of its pictures, which `latentrt sweep --keep FOLDER/` writes"
        )
    two_passes = "Hires upscaler" in extra
    if IMAGE_SCALE_ENTRY in extra or (p.strength is not None and not two_passes):
        raise InputError("this was painted over another picture (img2img), which it does not hold")
    ours = p.version is not None and p.version.startswith("latentrt ")
    # An empty one is as good as none, but where latentrt says that it was given to a model which tells them apart.
    negative = None if not p.negative_prompt and EMPTY_NEGATIVE not in p.extra else p.negative_prompt
    known: dict[str, Any] = {"prompt": p.prompt, "negative_prompt": negative, "rng": _rng(p, extra)}
    known |= _sampler(p, extra, ours)
    for name, setting in declared(Settings).items():
        if name not in known:
            known[name] = _told(name, setting, p, ours)
    if p.width is not None and p.height is not None:
        known["width"], known["height"] = Size().check("width", (p.width, p.height))
    if ours and "Batch pos" in extra:
        known["num_images"] = Whole(1).read("num_images", extra.get("Batch size", ""))
    if given.get("sampler") not in (None, known["sampler"], p.sampler):
        known["schedule"] = known["eta"] = None
    if any(given.get(name) not in (None, known[name]) for name in _SPACING):
        known["timesteps"] = known["sigmas"] = None
    if any(given.get(name) is not None for name in ("timesteps", "sigmas")):
        known["num_inference_steps"] = known["schedule"] = None
    if given.get("variation_strength") == 0:
        known["variation_seed"] = None
    if (seed := given.get("seed")) is not None:
        known["num_images"] = None
        if set(several(seed) or [seed]) != {p.seed}:
            known["variation_seed"] = known["variation_strength"] = None
    hires = two_passes and "hires" not in given
    if hires:
        known["hires"] = _hires(p, extra)
    unheeded = _unheeded(p, extra, hires)
    if unheeded:
        warnings.warn(NotHeeded(unheeded), stacklevel=2)
    known |= {name: value for name, value in given.items() if value is not None}
    recalled: Recalled = {name: value for name, value in known.items() if value is not None}  # type: ignore[assignment]
    return recalled


def _told(name: str, setting: Setting, p: GenerationParameters, ours: bool) -> Any:
    """What the last of a setting's entries says that is there."""
    values = [_value(name, setting, entry, p) for entry in setting.entries if ours or not entry.ours]
    return next((value for value in reversed(values) if value is not None), None)


def _value(name: str, setting: Setting, entry: Entry, p: GenerationParameters) -> Any:
    kind = setting.kind if entry.kind is None else entry.kind
    if entry.key in FIELDS:
        value = getattr(p, FIELDS[entry.key][0])
        if value is None:
            return None
        return kind.check(name, max(value - entry.first, 0) if entry.first else value)
    text = dict(p.extra).get(entry.key)
    return None if text is None else kind.read(name, text)


def _sampler(p: GenerationParameters, extra: Mapping[str, str], ours: bool) -> dict[str, Any]:
    """Sampler and schedule: a class and a sigma schedule of ours, else AUTOMATIC1111's two entries."""
    own = extra if ours else {}
    schedule, sampler = own.get(SCHEDULE_ENTRY), own.get(CLASS_ENTRY, p.sampler)
    if CLASS_ENTRY not in own and schedule is None and p.schedule_type not in (None, "Automatic"):
        sampler = f"{sampler} {p.schedule_type}"
    return {"sampler": None if p.sampler is None else sampler, "schedule": schedule}


def _rng(p: GenerationParameters, extra: Mapping[str, str]) -> str | None:
    """Who drew the noise: AUTOMATIC1111 and its kin on CUDA, if they say nothing else; latentrt on the CPU."""
    named = extra.get("RNG", "").lower()
    foreign = p.version is not None and re.match("[vf][0-9]", p.version) is not None
    return "nv" if named == "nv" or (foreign and named != "cpu") else None


def _hires(p: GenerationParameters, extra: Mapping[str, str]) -> Hires:
    told = {name: _told(f"hires {name}", setting, p, True) for name, setting in declared(Hires).items()}
    if told["scale"] is None and told["size"] is None:
        raise InputError("its second pass (hires) has no size")
    # AUTOMATIC1111 leaves the entry out where the second pass has as many as the first.
    if told["steps"] is None:
        told["steps"] = p.steps
    return Hires(**{name: value for name, value in told.items() if value is not None})


def _unheeded(p: GenerationParameters, extra: Mapping[str, str], hires: bool) -> list[str]:
    """AUTOMATIC1111's entries that change a picture and that nothing here heeds; not those that change nothing."""
    same: dict[str, str | float | None] = {"ENSD": 0.0}
    if hires:  # where they are those of the first pass they change nothing
        same |= {
            "Hires CFG Scale": p.guidance_scale,
            "Hires sampler": p.sampler,
            "Hires schedule type": "Automatic" if p.schedule_type is None else p.schedule_type,
            "Hires prompt": p.prompt,
            "Hires negative prompt": p.negative_prompt,
        }
    given = [name for name in GIVEN if name in extra]
    return [name for name, value in same.items() if name in extra and not _same(extra[name], value)] + given


def _same(text: str, value: str | float | None) -> bool:
    if not isinstance(value, float):
        return text == value
    try:
        return Number().read("", text) == value
    except InputError:
        return False
