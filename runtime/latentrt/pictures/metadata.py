"""How a picture was made, as the text that AUTOMATIC1111 writes into it and many programs read.

    a cat, watercolour
    Negative prompt: blurry
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 512x512, Version: latentrt 0.1.0

A value that holds a comma, a colon or a newline is quoted as JSON. Such a text cannot hold every prompt (not one with a
line "Negative prompt: …" of its own, or with spaces at its ends): for those, and only for those, the last line repeats
it as JSON under `Exact prompt` and `Exact negative prompt`, which others pass over and `parse_parameters` believes.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from latentrt._version import __version__

_NEGATIVE = "Negative prompt:"
# An entry: its key, and its value. A key begins where a run of its characters begins, and no repeat is given back: time
# grows with the text, no faster.
PAIR = re.compile(r'(?<![\w \-/])[ \-/]*+(\w[\w \-/]*+):\s*+("(?:\\.|[^\\"])*+"|[^,]*)(?:,|$)')


@dataclass(frozen=True)
class GenerationParameters:
    """What makes one picture again. None where unknown; `sampler` and `schedule_type` are AUTOMATIC1111's names.

    `strength` is img2img's, in [0, 1]; `clip_skip` counts from 1. `extra` holds the text's other entries, in order.
    Of a picture that was just painted `told` has the same as values, under the names that `--json` gives them.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int | None = None
    sampler: str | None = None
    schedule_type: str | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    model_hash: str | None = None
    model: str | None = None
    strength: float | None = None
    clip_skip: int | None = None
    eta: float | None = None
    version: str | None = f"latentrt {__version__}"
    extra: tuple[tuple[str, str], ...] = ()
    variation_seed: int | None = None
    variation_strength: float | None = None
    told: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def format_parameters(parameters: GenerationParameters) -> str:
    """The text; `parse_parameters` gives the same parameters back."""
    p = parameters
    size = None if p.width is None or p.height is None else f"{p.width}x{p.height}"
    entries = {key: size if key == "Size" else getattr(p, name) for key, (name, _) in FIELDS.items()}
    entries |= {**dict(p.extra), "Version": p.version}
    last = ", ".join(f"{key}: {_quote(_text(value))}" for key, value in entries.items() if value is not None)
    text = f"{p.prompt}\n{_NEGATIVE} {p.negative_prompt}" if p.negative_prompt else p.prompt
    if _split(f"{text}\n{last}") != (p.prompt, p.negative_prompt, last):
        exact = (
            f"Exact prompt: {json.dumps(p.prompt)}, Exact negative prompt: {json.dumps(p.negative_prompt)}"
        )
        last = f"{last}, {exact}" if last else exact
    return f"{text}\n{last}"


def parse_parameters(text: str) -> GenerationParameters:
    """Read the text of any program that follows AUTOMATIC1111. What does not make sense is left out, never an error."""
    prompt, negative, last = _split(text)
    entries = {key: unquote(value) for key, value in PAIR.findall(last)}
    width, height = _size(entries.pop("Size", ""))
    return GenerationParameters(
        prompt=entries.pop("Exact prompt", prompt),
        negative_prompt=entries.pop("Exact negative prompt", negative),
        width=width,
        height=height,
        version=entries.pop("Version", None),
        **{name: read(entries.pop(key, None)) for key, (name, read) in FIELDS.items() if key != "Size"},
        extra=tuple(entries.items()),
    )


def _split(text: str) -> tuple[str, str, str]:
    """Prompt, negative prompt and last line; that one is a prompt's where it has no "Steps:" and few entries."""
    *lines, last = text.strip().split("\n")
    keys = [key for key, _ in PAIR.findall(last)]
    if len(keys) < 3 and not {"Steps", "Exact prompt", "Version"} & set(keys):
        lines, last = [*lines, last], ""
    prompt: list[str] = []
    negative: list[str] = []
    target = prompt
    for line in lines:
        if line.startswith(_NEGATIVE):
            target = negative
            line = line.removeprefix(_NEGATIVE)
        target.append(line.strip())
    return "\n".join(prompt).strip(), "\n".join(negative).strip(), last


def _quote(value: str) -> str:
    plain = (
        value and value == value.strip() and not value.startswith('"') and not re.search(r"[,:\n\r]", value)
    )
    return value if plain else json.dumps(value, ensure_ascii=False)


def unquote(value: str) -> str:
    """The value of an entry, without the quotes of JSON where it has them."""
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value.strip()
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def number_text(value: float) -> str:
    """7 for 7.0; otherwise all the digits that it takes to read the same number again."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else number_text(value)


def _str(value: str | None) -> str | None:
    return value


def _int(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"-?[0-9]{1,20}", value) else None


def _float(value: str | None) -> float | None:
    try:
        number = math.nan if value is None else float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _size(value: str) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", value)
    return (int(match[1]), int(match[2])) if match else (None, None)


# AUTOMATIC1111's entries, in its order: the field, and how it is read. `Size` is width and height, `Version` is last.
FIELDS: dict[str, tuple[str, Callable[[str | None], Any]]] = {
    "Steps": ("steps", _int),
    "Sampler": ("sampler", _str),
    "Schedule type": ("schedule_type", _str),
    "CFG scale": ("guidance_scale", _float),
    "Seed": ("seed", _int),
    "Variation seed": ("variation_seed", _int),
    "Variation seed strength": ("variation_strength", _float),
    "Size": ("size", _str),
    "Model hash": ("model_hash", _str),
    "Model": ("model", _str),
    "Denoising strength": ("strength", _float),
    "Clip skip": ("clip_skip", _int),
    "Eta": ("eta", _float),
}
