"""InvokeAI: `invokeai_metadata` since 3, `sd-metadata` of 2, and before them a command under `Dream`."""

import re
from typing import Any

from latentrt.pictures.writers.entries import canonical, mapped, size_of, words
from latentrt.pictures.writers.found import Texts, object_of
from latentrt.pictures.writers.programs import INVOKE_AI
from latentrt.pictures.writers.writer import PictureText

_NAMES = {
    "steps": "Steps",
    "scheduler": "Sampler",
    "sampler": "Sampler",
    "cfg_scale": "CFG scale",
    "cfg_rescale_multiplier": "CFG rescale",
    "seed": "Seed",
    "clip_skip": "CLIP skip (InvokeAI)",
    "strength": "Denoising strength",
    "rand_device": "RNG",
    "model": "Model",
    "vae": "VAE",
    "seamless_x": "Tiling x",
    "seamless_y": "Tiling y",
}
_SKIPPED = words(
    "positive_prompt negative_prompt prompt width height generation_mode app_version created_by type model_hash "
    "positive_style_prompt negative_style_prompt canvas_v2_metadata facetool orig_hash "
    "-b -n -g"
)
# Of the command: options, and the values of JSON that they stand for.
_OPTIONS = {
    "s": "steps",
    "S": "seed",
    "C": "cfg_scale",
    "A": "sampler",
    "m": "sampler",
    "W": "width",
    "H": "height",
    "f": "strength",
}
_JOINED = "Am"  # whose values are words
_OFF = {"0", "False", "none"}
# Where its texts stand, the newest first.
KEYS = ("invokeai_metadata", "sd-metadata", "Dream")
# The prompt ends at the first quote that options follow, or nothing; an option has several values, one, or none.
_COMMAND = re.compile(r'"(.*?)"(?=\s+-{1,2}[A-Za-z]|\s*$)', re.DOTALL)
_OPTION = re.compile(r'\s+-(-?[A-Za-z][^\s"]*+)((?:\s+(?:"[^"]*"|-?[0-9][^\s"]*|[^\s"-][^\s"]*))*+)')


def read(texts: Texts) -> PictureText | None:
    """The newest of its texts that there is."""
    for key in KEYS:
        text = texts.get(key)
        if text:
            made = _of_command(text) if key == "Dream" else _of_object(text, key)
            if made is not None:
                return _understood(texts, key, text, *made)
    for found, data in texts.objects:  # as it stands alone
        if {"positive_prompt", "seed", "scheduler"} <= data.keys():
            return _understood(texts, found.key, found.text, data, str(data.get("app_version", "")))
    return None


def _of_object(text: str, key: str) -> tuple[dict[str, Any], str] | None:
    data = object_of(text)
    if data is None:
        return None
    version = str(data.get("app_version", ""))
    if key == "invokeai_metadata":
        return data, version
    image = data.get("image")
    if not isinstance(image, dict):
        return None
    prompt = image.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], dict):
        prompt = prompt[0].get("prompt")
    if not isinstance(prompt, str):
        return None
    return {**image, **_split(prompt), "model": data.get("model_weights")}, version


def _of_command(text: str) -> tuple[dict[str, Any], str] | None:
    text = text.strip()
    match = _COMMAND.match(text)
    if match is None:
        return None
    options, at = {}, match.end()
    while (option := _OPTION.match(text, at)) is not None:
        key, value, at = option[1], option[2].strip().strip('"'), option.end()
        if key[1:] and (key[0] in _JOINED or key[1].isdigit()):  # as older versions write them: -s50
            key, value = key[0], key[1:]
        options[key] = value or "True"
    if at < len(text):
        return None
    return _split(match[1]) | {_OPTIONS.get(key, f"-{key}"): value for key, value in options.items()}, ""


def _split(prompt: str) -> dict[str, Any]:
    """Before 3 the negative prompt stood in the prompt, in brackets."""
    negative = re.findall(r"\[([^\[\]]*)\]", prompt)
    positive = re.sub(r"\s*\[[^\[\]]*\]\s*", " ", prompt).strip()
    return {"positive_prompt": positive, "negative_prompt": ", ".join(part.strip() for part in negative)}


def _understood(texts: Texts, key: str, text: str, data: dict[str, Any], version: str) -> PictureText:
    entries = mapped(data, _NAMES, _SKIPPED) | size_of(data.get("width"), data.get("height"))
    model = data.get("model")
    if isinstance(model, dict):
        entries["Model"] = str(model.get("name") or model.get("model_name") or "")
    entries = {
        name: value for name, value in entries.items() if value not in _OFF or name in ("Seed", "CFG scale")
    }
    sampler = entries.get("Sampler", "")
    if sampler.startswith("kdpm_2"):
        sampler = sampler.removeprefix("k")
    if sampler.endswith("_k"):  # Karras' sigmas
        sampler, entries["Schedule type"] = sampler.removesuffix("_k"), "Karras"
    if sampler:
        entries["Sampler"] = sampler
    if "txt2img" in str(data.get("generation_mode", "")) or data.get("type") == "txt2img":
        entries.pop("Denoising strength", None)
    elif "2img" in str(data.get("generation_mode", "")) or "paint" in str(data.get("generation_mode", "")):
        entries["Init image"] = "given"
    where = next((found.where for found in texts.found if found.key == key and found.text == text), "")
    prompt, negative = (str(data.get(f"{name}_prompt") or "") for name in ("positive", "negative"))
    for name in ("positive_style_prompt", "negative_style_prompt"):
        entries |= (
            {"Prompt 2" if name[0] == "p" else "Negative prompt 2": str(data[name])} if data.get(name) else {}
        )
    return PictureText(text, where, INVOKE_AI, version, prompt, negative, canonical(entries))
