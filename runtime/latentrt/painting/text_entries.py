"""Which entries of a picture's text change a picture and are heeded by nothing here."""

from collections.abc import Collection

from latentrt.errors import InputError
from latentrt.painting.kinds import Number
from latentrt.pictures.writers import PictureText
from latentrt.pictures.writers.entries import words
from latentrt.pictures.writers.programs import LATENTRT

# Entries that tell of another model, of a part of one, or of what it computed in: only who gives it again makes the
# picture again.
GIVEN = ("Refiner", "VAE", "Text encoder", "UNet", "Prediction type", "Depth map", "Precision")

# They change nothing, or tell by other words what others tell.
_HARMLESS = words(
    "Model|Model hash|VAE hash|Hashes|User|Batch size|Batch pos|Refiner hash|App|Backend|Parser|Pipeline|Comment|"
    "Styles|Template|Negative Template|Created Date|Exact prompt|Exact negative prompt|Hires upscale|Hires upscaler|"
    "Hires resize|Hires steps|Hires CFG Scale|Hires sampler|Hires schedule type|Hires prompt|Hires negative prompt|"
    "Sampler|Schedule type|Size|RNG|Denoising strength|Cache FP16 weight for LoRA|"
    "Emphasis|Script|Prompt|Negative prompt|Dynamic thresholding enabled",
    "|",
)
# The values of entries at which they change nothing; several with a | between them.
_NOTHING = {
    "ENSD": "0",
    "Tiling": "False",
    "VAE": "Automatic|None|Default (model)",
    "Refiner": "None",
    "FP8 weight": "Disable",
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "Sigma churn": "0",
    "Sigma tmin": "0",
    "Sigma tmax": "0",
    "Sigma noise": "1",
    "NGMS": "0",
    "Skip Early CFG": "0",
    "Schedule max sigma": "0",
    "Schedule min sigma": "0",
    "Schedule rho": "0",
    "Noise Schedule": "Default",
    "Noise multiplier": "1",
    "SGM noise multiplier": "False",
    "Discard penultimate sigma": "False",
    "Downcast alphas_cumprod": "False",
    "Token merging ratio": "0",
    "Token merging ratio hr": "0",
    "Face restoration": "None",
    "CFG Rescale": "0",
}


def unheeded(text: PictureText, heeded: Collection[str]) -> list[str]:
    """The names of entries that change the picture and that nothing heeds, in the order of the text.

    Of others' texts all that is not known to change nothing; of our own what only who gives it again has.

    Args:
        text: of the picture.
        heeded: entries that settings are made of.
    """
    entries = text.entries
    names = []
    for key, value in entries.items():
        if key in GIVEN:
            changes = not _is_nothing(key, value)
        elif text.writer is LATENTRT or key in heeded or key in _HARMLESS or key in text.writer.harmless:
            changes = False
        elif key == "Civitai resources":
            changes = '"lora' in value.lower() or '"embed' in value.lower()
        else:
            changes = not _is_nothing(key, value)
        if changes:
            names.append(key)
    return names


def _is_nothing(key: str, value: str) -> bool:
    return any(_same(value, nothing) for nothing in _NOTHING.get(key, "").split("|"))


def _same(one: str, other: str) -> bool:
    """Whether two values are one, as words or as numbers."""
    if one.lower() == other.lower():
        return True
    try:
        return Number().read("", one) == Number().read("", other)
    except InputError:
        return False
