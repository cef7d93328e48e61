"""Fooocus: its own scheme, an object of JSON; its other one has AUTOMATIC1111's form."""

from typing import Any

from latentrt.pictures.writers.entries import canonical, mapped, words
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import FOOOCUS
from latentrt.pictures.writers.writer import PictureText

_NAMES = {
    "steps": "Steps",
    "sampler": "Sampler",
    "scheduler": "Schedule type",
    "guidance_scale": "CFG scale",
    "seed": "Seed",
    "resolution": "Size",
    "base_model": "Model",
    "base_model_hash": "Model hash",
    "vae": "VAE",
    "clip_skip": "Clip skip",
    "refiner_model": "Refiner",
    "sharpness": "Sharpness",
    "adm_guidance": "ADM Guidance",
    "adaptive_cfg": "Adaptive CFG",
    "loras": "Lora weights",
}
_SKIPPED = words(
    "prompt negative_prompt full_prompt full_negative_prompt prompt_expansion raw_prompt raw_negative_prompt version "
    "performance metadata_scheme created_by refiner_model_hash"
)


def read(texts: Texts) -> PictureText | None:
    """The text of its own scheme."""
    for found, data in texts.objects:
        version = str(data.get("version", ""))
        if version.startswith("Fooocus") or {"guidance_scale", "resolution", "steps"} <= data.keys():
            entries = mapped(data, _NAMES, _SKIPPED)
            if entries.get("Refiner") == "None":
                del entries["Refiner"]
            if "Refiner" not in entries:
                entries.pop("refiner_switch", None)
            if all(len(_full(data, name)) <= 1 for name in ("prompt", "negative_prompt")):
                entries.pop("styles", None)
            prompt, negative = (_painted(data, name) for name in ("prompt", "negative_prompt"))
            return PictureText(
                found.text,
                found.where,
                FOOOCUS,
                version.removeprefix("Fooocus").strip(),
                prompt,
                negative,
                canonical(entries),
            )
    return None


def _full(data: dict[str, Any], name: str) -> list[Any]:
    """What was painted. Styles make several texts of a prompt, which are read apart: no one text stands for them."""
    full = data.get(f"full_{name}")
    return full if isinstance(full, list) else []


def _painted(data: dict[str, Any], name: str) -> str:
    full = _full(data, name)
    return full[0] if len(full) == 1 and isinstance(full[0], str) else str(data.get(name) or "")
