"""Entries of texts under one set of names: AUTOMATIC1111's."""

import json
import re
from collections.abc import Mapping
from typing import Any

from latentrt.pictures.metadata import number_text

# As programs write them in other words. Case does not matter.
_ALIASES = {
    "cfg": "CFG scale",
    "guidance scale": "CFG scale",
    "scheduler": "Schedule type",
    "schedule": "Schedule type",
    "sampling method": "Sampler",
    "eta ddim": "Eta",
    "clip_skip": "Clip skip",
    "resolution": "Size",
    "variation strength": "Variation seed strength",
    "subseed": "Variation seed",
    "subseed strength": "Variation seed strength",
}
# As AUTOMATIC1111 writes them; of these, some programs change the case.
_NAMES = (
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Seed",
    "Size",
    "Model",
    "Model hash",
    "Clip skip",
    "Denoising strength",
    "Eta",
    "RNG",
    "VAE",
    "Variation seed",
    "Variation seed strength",
    "Hires upscale",
    "Hires upscaler",
    "Hires resize",
    "Hires steps",
    "Version",
)
_CANON = {name.lower(): name for name in _NAMES} | _ALIASES
_WHOLE = {"Steps", "Seed", "Clip skip", "Variation seed", "Hires steps"}


def words(text: str, between: str = " ") -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split(between))


def canonical(pairs: Mapping[str, str], aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """The entries by AUTOMATIC1111's names, their numbers and sizes as it writes them; the first of a name counts."""
    made: dict[str, str] = {}
    for key, value in pairs.items():
        name = (aliases or {}).get(key, _CANON.get(key.lower(), key))
        if name == "Schedule type" and name in made:
            continue
        made.setdefault(name, _value(name, value.strip()))
    if made.get("Hires steps") == "0":  # as many as in the first pass
        del made["Hires steps"]
    return made


def _value(name: str, value: str) -> str:
    if name in _WHOLE and (match := re.fullmatch(r"([+-]?[0-9]{1,20})(?:\.0*)?", value)):
        # ComfyUI counts the text encoder's layers from the last, -1.
        return match[1].lstrip("-+") if name == "Clip skip" else match[1].lstrip("+")
    if name in ("Size", "Hires resize"):
        match = re.fullmatch(r"\(?\s*([0-9]{1,6})\s*[x×,*]\s*([0-9]{1,6})\s*\)?", value)
        return f"{match[1]}x{match[2]}" if match else value
    return value


def mapped(
    data: Mapping[str, Any], names: Mapping[str, str], skipped: frozenset[str] = frozenset()
) -> dict[str, str]:
    """A program's own names and values as entries; what has no name among `names` keeps its own.

    Args:
        data: as JSON gives it. What is empty, false or null says nothing and is left out; 0 is a number.
        names: the entry of each of the program's names.
        skipped: names that say nothing of the picture.
    """
    made = {}
    for key, value in data.items():
        empty = value is None or value is False or value in ("", [], {})
        if not empty and key not in skipped:
            made[names.get(key, key)] = worded(value)
    return made


def worded(value: Any) -> str:
    """A value of JSON as an entry has it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return str(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else number_text(value) if isinstance(value, float) else str(value)


def size_of(width: Any, height: Any) -> dict[str, str]:
    """The entry of a width and a height, where there are both."""
    return {} if width is None or height is None else {"Size": f"{worded(width)}x{worded(height)}"}
