"""Draw Things: an object of JSON in XMP's exif:UserComment, or in EXIF's."""

from latentrt.pictures.writers.entries import canonical, mapped, words
from latentrt.pictures.writers.found import Texts
from latentrt.pictures.writers.programs import DRAW_THINGS
from latentrt.pictures.writers.writer import PictureText

_NAMES = {
    "steps": "Steps",
    "sampler": "Sampler",
    "scale": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "strength": "Denoising strength",
    "model": "Model",
    "seed_mode": "RNG",
    "lora": "Lora weights",
    "control": "ControlNet",
    "shift": "Shift",
    "mask_blur": "Mask blur",
}
_SKIPPED = words("c uc v2 profile")
# Whose noise its modes draw; the others are its own.
_MODES = {"torch cpu compatible": "CPU", "nvidia gpu compatible": "NV"}


def read(texts: Texts) -> PictureText | None:
    """Its text."""
    for found, data in texts.objects:
        if "c" in data and "uc" in data and {"seed", "steps"} & data.keys():
            entries = mapped(data, _NAMES, _SKIPPED)
            more = data.get("v2")
            if (
                "CFG scale" not in entries
                and isinstance(more, dict)
                and more.get("guidanceScale") is not None
            ):
                entries["CFG scale"] = str(more["guidanceScale"])
            mode = entries.get("RNG", "")
            entries |= {"RNG": _MODES.get(mode.lower(), mode)} if mode else {}
            if entries.get("Denoising strength") == "1":  # from noise alone
                del entries["Denoising strength"]
                entries.pop("Mask blur", None)
            if entries.get("Shift") == "1":
                del entries["Shift"]
            return PictureText(
                found.text,
                found.where,
                DRAW_THINGS,
                "",
                str(data.get("c") or ""),
                str(data.get("uc") or ""),
                canonical(entries),
            )
    return None
