"""Easy Diffusion: PNG texts, or an object of JSON, under its API's names or under words."""

from typing import Any

from latentrt.pictures.texts import Found
from latentrt.pictures.writers.entries import canonical, mapped, size_of
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import EASY_DIFFUSION
from latentrt.pictures.writers.writer import PictureText

# Its API's names, the words that it writes in their place, and the entry.
_TABLE = (
    ("prompt", "Prompt", ""),
    ("negative_prompt", "Negative Prompt", ""),
    ("width", "Width", ""),
    ("height", "Height", ""),
    ("seed", "Seed", "Seed"),
    ("num_inference_steps", "Steps", "Steps"),
    ("guidance_scale", "Guidance Scale", "CFG scale"),
    ("sampler_name", "Sampler", "Sampler"),
    ("scheduler_name", "Scheduler", "Schedule type"),
    ("use_stable_diffusion_model", "Stable Diffusion model", "Model"),
    ("use_vae_model", "VAE model", "VAE"),
    ("clip_skip", "Clip Skip", "Clip skip (Easy Diffusion)"),
    ("prompt_strength", "Prompt Strength", "Denoising strength"),
    ("use_lora_model", "LoRA model", "Lora"),
    ("lora_alpha", "LoRA Strength", "Lora strength"),
    ("use_hypernetwork_model", "Hypernetwork model", "Hypernet"),
    ("hypernetwork_strength", "Hypernetwork Strength", "Hypernet strength"),
    ("use_embeddings_model", "Embedding models", "Embeddings"),
    ("tiling", "Seamless Tiling", "Tiling"),
    ("use_controlnet_model", "ControlNet model", "ControlNet"),
    ("control_filter_to_apply", "ControlNet Filter", "ControlNet filter"),
    ("use_face_correction", "Use Face Correction", "Face restoration"),
    ("use_upscale", "Use Upscaling", "Upscaler"),
    ("upscale_amount", "Upscale By", "Upscale by"),
    ("latent_upscaler_steps", "Latent Upscaler Steps", "Latent upscaler steps"),
)
_OFF = ("None", "False", "none", "")


def read(texts: Texts) -> PictureText | None:
    """Its text, or its texts."""
    for found, data in texts.objects:
        if {"num_inference_steps", "guidance_scale", "sampler_name"} <= data.keys():
            return _understood(found, data, 0)
        if {"Guidance Scale", "Stable Diffusion model"} <= data.keys():
            return _understood(found, data, 1)
    told: dict[str, Any] = {found.key: found.text for found in texts.found if found.place == "PNG text"}
    for column, wanted in ((0, {"num_inference_steps", "guidance_scale"}), (1, {"Guidance Scale", "Steps"})):
        if wanted <= told.keys():
            lines = "\n".join(f"{key}: {value}" for key, value in told.items())
            return _understood(Found("PNG text", "num_inference_steps", lines), told, column)
    return None


def _understood(found: Found, data: dict[str, Any], column: int) -> PictureText:
    names = {row[column]: row[2] for row in _TABLE}
    told = {row[0]: data.get(row[column]) for row in _TABLE[:4]}
    skipped = frozenset(row[column] for row in _TABLE[:4])
    entries = mapped(data, names, skipped) | size_of(told["width"], told["height"])
    entries = {key: value for key, value in entries.items() if value not in _OFF}
    if entries.get("Clip skip (Easy Diffusion)") == "True":  # of two layers, as a switch
        del entries["Clip skip (Easy Diffusion)"]
        entries["Clip skip"] = "2"
    prompt, negative = (str(told[name] or "") for name in ("prompt", "negative_prompt"))
    return PictureText(found.text, found.where, EASY_DIFFUSION, "", prompt, negative, canonical(entries))
