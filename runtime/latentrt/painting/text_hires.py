"""The second pass that a picture's text tells of."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from latentrt.errors import InputError, SettingError
from latentrt.painting.kinds import read_sides
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import Setting, declared
from latentrt.painting.text_sampler import second_sampler_of
from latentrt.painting.upscale import UPSCALERS, find_upscaler
from latentrt.pictures.writers import PictureText


def has_two_passes(text: PictureText) -> bool:
    """Whether it tells of a second pass."""
    return "Hires upscaler" in text.entries or bool({"Hires upscale", "Hires resize"} & text.entries.keys())


def hires_of(
    text: PictureText,
    read: Callable[[str, Setting], Any],
    steps: int | None,
    prompts: Mapping[str, str | None],
    given: Collection[str] = (),
) -> Hires:
    """The second pass.

    Args:
        text: of the picture.
        read: what the text says of a setting.
        steps: of the first pass; AUTOMATIC1111 leaves out those of the second where they are as many.
        prompts: its prompts as plain text, None where they are those of the first.
        given: fields that others win with, and of which the text may say what is not here.

    Raises:
        InputError: it has no size.
        SettingError: its upscaler is not here, or an entry makes no sense.
    """
    told = {
        name: read(f"hires {name}", setting)
        for name, setting in declared(Hires).items()
        if name not in ("size", "sampler", "schedule", *prompts)
    }
    told |= {**second_sampler_of(text, given), **prompts}
    told["size"] = _size(text)
    if told["scale"] is None and told["size"] is None and not {"scale", "size"} & set(given):
        raise InputError("its second pass (hires) has no size")
    if told["steps"] is None:
        told["steps"] = steps
    if told["upscaler"] is not None:
        try:
            find_upscaler(told["upscaler"])
        except InputError:
            if "upscaler" not in given:
                raise SettingError(
                    "hires upscaler",
                    f"the picture's Hires upscaler, {told['upscaler']!r}, is not here; expected one of "
                    f"{', '.join(UPSCALERS)}, of which lanczos is the nearest, or no second pass "
                    "(hires=None, --hires off)",
                ) from None
            told["upscaler"] = None
    return Hires(**{name: value for name, value in told.items() if value is not None})


def _size(text: PictureText) -> tuple[int, int] | None:
    """Width and height; where one is 0 it follows from the other and the first pass's proportions."""
    said = text.entries.get("Hires resize")
    if said is None:
        return None
    wide, high = read_sides("hires size", said, "1024x1024")
    if not wide and not high:
        return None
    if wide and high:
        return wide, high
    first_wide, first_high = read_sides("width", text.entries.get("Size", ""), "512x512")
    if not first_wide or not first_high:
        raise SettingError("width", f"expected sides of 1 or more, got {first_wide}x{first_high}")
    return (wide, wide * first_high // first_wide) if wide else (high * first_wide // first_high, high)
