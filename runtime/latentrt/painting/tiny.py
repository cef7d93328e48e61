"""TAESD in place of the autoencoder's decoder, where a recipe asks for it."""

from latentrt.errors import SettingError
from latentrt.painting.parts import Parts
from latentrt.painting.preview import TAESD_FOLDER, TaesdPreview, find_taesd
from latentrt.painting.request import Request


def taesd_of(parts: Parts, request: Request) -> TaesdPreview | None:
    """What decodes the pictures of a run in place of the autoencoder; None where that does.

    Raises:
        SettingError: it is asked for, and there is none, or it is the model's own decoder.
        ModelError: what is there is none, or its latents are not the model's.
    """
    if request.fast.decoder == "vae":
        return None
    model = parts.networks.model
    if model.has_tiny_vae:
        raise SettingError("fast", f"decoder=taesd: does nothing here, {model.name}'s own decoder is a TAESD")
    taesd = find_taesd(parts.networks, parts.taesd)
    if taesd is None:
        raise SettingError(
            "fast",
            f"decoder=taesd: there is none; expected the folder of diffusers' AutoencoderTiny for the latents of "
            f"{model.name}, as {model.root / TAESD_FOLDER}, or as taesd of latentrt.load",
            others=("taesd of latentrt.load",),
        )
    return taesd
