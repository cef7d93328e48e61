"""NovelAI: an object of JSON under `Comment`, or alone."""

from dataclasses import replace

from latentrt.pictures.writers.entries import canonical, mapped, size_of, words
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import NOVEL_AI
from latentrt.pictures.writers.writer import PictureText

_NAMES = {
    "steps": "Steps",
    "sampler": "Sampler",
    "noise_schedule": "Schedule type",
    "scale": "CFG scale",
    "cfg_rescale": "CFG rescale (NovelAI)",
    "seed": "Seed",
    "strength": "Denoising strength",
    "noise": "Extra noise",
}
_SKIPPED = words(
    "prompt uc height width n_samples signed_hash request_type hide_debug_overlay legacy legacy_v3_extend legacy_uc "
    "add_original_image version extra_passthrough_testing dynamic_thresholding_percentile "
    "dynamic_thresholding_mimic_scale controlnet_strength director_reference_strengths"
)
# What these are where they do nothing.
_OFF = {"CFG rescale (NovelAI)": "0", "uncond_scale": "1", "Extra noise": "0", "skip_cfg_below_sigma": "0"}


def read(texts: Texts) -> PictureText | None:
    """Its text."""
    for found, data in texts.objects:
        if {"uc", "steps", "scale", "sampler"} <= data.keys():
            entries = mapped(data, _NAMES, _SKIPPED) | size_of(data.get("width"), data.get("height"))
            entries = {key: value for key, value in entries.items() if _OFF.get(key) != value}
            if entries.get("Schedule type") == "native":
                del entries["Schedule type"]
            if data.get("request_type") == "PromptGenerateRequest":  # from words alone
                entries.pop("Denoising strength", None)
                entries.pop("Extra noise", None)
            # Before it said so, every text stated a strength.
            writer = NOVEL_AI if "request_type" in data else replace(NOVEL_AI, strength=False)
            source = texts.get("Source")
            entries |= {"Model": source} if source else {}
            prompt = data.get("prompt") or texts.get("Description")
            return PictureText(
                found.text,
                found.where,
                writer,
                "",
                str(prompt),
                str(data.get("uc") or ""),
                canonical(entries),
            )
    return None
