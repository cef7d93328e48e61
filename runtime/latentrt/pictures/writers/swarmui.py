"""SwarmUI: an object of JSON."""

from latentrt.pictures.writers.entries import canonical, mapped, size_of, words
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import SWARM_UI
from latentrt.pictures.writers.writer import PictureText

_NAMES = {
    "steps": "Steps",
    "sampler": "Sampler",
    "scheduler": "Schedule type",
    "cfgscale": "CFG scale",
    "seed": "Seed",
    "model": "Model",
    "vae": "VAE",
    "clipstopatlayer": "Clip skip",
    "variationseed": "Variation seed (SwarmUI)",  # blended in another way than AUTOMATIC1111's
    "variationseedstrength": "Variation seed strength (SwarmUI)",
    "initimagecreativity": "Denoising strength",
}
_SKIPPED = words(
    "prompt negativeprompt width height sidelength swarm_version date generation_time aspectratio images nopreviews "
    "automaticvae wildcardseed wildcardseedbehavior personalnote imageformat used_wildcards original_prompt "
    "original_negativeprompt presets donotsave batchsize backendtype internalbackendtype webhooks"
)


def read(texts: Texts) -> PictureText | None:
    """Its text."""
    for found, data in texts.objects:
        told = data.get("sui_image_params")
        if isinstance(told, dict):
            entries = mapped(told, _NAMES, _SKIPPED) | size_of(told.get("width"), told.get("height"))
            if entries.get("Variation seed strength (SwarmUI)") == "0":
                del entries["Variation seed strength (SwarmUI)"]
                entries.pop("Variation seed (SwarmUI)", None)
            entries = {
                "Sampler": "euler",
                "Schedule type": "normal",
            } | entries  # which it takes, and leaves out
            return PictureText(
                found.text,
                found.where,
                SWARM_UI,
                str(told.get("swarm_version", "")),
                str(told.get("prompt") or ""),
                str(told.get("negativeprompt") or ""),
                canonical(entries),
            )
    return None
