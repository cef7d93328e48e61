"""What a picture will be, seen in the middle of a run: a step's denoised latents as pictures."""

from pathlib import Path

from latentrt.painting import preview
from latentrt.painting.preview import Preview
from latentrt.pipeline import Pipeline

__all__ = ["Preview", "make_preview"]


def make_preview(pipeline: Pipeline, taesd: str | Path | None = None) -> Preview:
    """The best preview there is for a model: TAESD in the folder given, or in the model's own, else a linear map.

    Args:
        pipeline: what paints.
        taesd: a folder of diffusers' AutoencoderTiny, with config.json and safetensors.

    Raises:
        ModelError: that folder is none, or its latents are not the model's.
        InputError: there is no TAESD, and the colours of the model's latents are not known.
    """
    return preview.make_preview(pipeline.networks, taesd)
