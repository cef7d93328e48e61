"""What is run in one row of `bench model`, and what that asks of the model: which run, with which settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import latentrt
from latentrt.models.bundle import open_model
from latentrt.models.model import Model
from latentrt.models.replacing import make_replacements
from latentrt.painting.autoencoder import Tile
from latentrt.painting.generation import Generation
from latentrt.painting.request import Request
from latentrt.painting.request_maker import make_request
from latentrt.pictures.images import load_image
from latentrt.pictures.mask import load_mask
from latentrt.pipeline import Pipeline

PROMPT = "a large red heart on a blue background"  # its words do not matter: all prompts are as long to the networks
# What a model is asked to paint, by what its UNet was made for; a refiner paints over pictures too.
RUNS = {
    "paint": "txt2img",
    "inpaint": "inpaint",
    "edit": "img2img",
    "depth": "img2img",
    "upscale": "upscale",
}


@dataclass(frozen=True)
class Configuration:
    """What is run. Plain data, as it goes to a worker.

    Attributes:
        model: "demo", a folder, or a file.
        width: of the pictures, in pixels.
        height: likewise.
        batch: pictures at a time.
        device: a provider's name.
        dtype: "fp16" or "fp32".
        steps: of a picture.
        guidance_scale: of a picture; 1 or less is without guidance.
        tile: see `latentrt.load`.
        low_memory: likewise.
        parts: of `latentrt.load`, what is given in place of the model's own: vae, text_encoder, unet, prediction_type.
    """

    model: str
    width: int
    height: int
    batch: int
    device: str
    dtype: str
    steps: int
    guidance_scale: float
    tile: Tile = "auto"
    low_memory: bool = False
    parts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.width}x{self.height} batch {self.batch} {self.device} {self.dtype}"

    def load(self) -> Pipeline:
        """The model, opened; its networks are loaded when they are first run."""
        placed: dict[str, Any] = {"device": self.device, "dtype": self.dtype, "low_memory": self.low_memory}
        placed["cache"] = False  # what is timed is the checkpoint as it is, and nobody's disk is filled
        return latentrt.load(self.model, **placed, tile=self.tile, **self.parts)

    def open(self) -> Model:
        """The model, without anything that runs it."""
        return open_model(self.model, make_replacements(**self.parts))


def request_of(model: Model, c: Configuration, sampler: str | None = None) -> Request:
    """What is asked of a batch of pictures. `sampler` None: what the model's files say.

    Raises:
        InputError: a setting cannot be had; ModelError: nothing can be painted with it.
    """
    run, pictures = _run(model, c)
    image = load_image(pictures["image"]) if pictures else None
    mask = load_mask(pictures["mask"]) if "mask" in pictures else None
    depth = pictures.get("depth")
    return make_request(model, run, PROMPT, image, mask, depth=depth, **_asked(model, c, sampler))


def painting(pipeline: Pipeline, c: Configuration, sampler: str | None) -> Generation:
    """A batch of pictures, checked and not yet begun; see `request_of`."""
    run, pictures = _run(pipeline.model, c)
    start: Callable[..., Generation] = getattr(pipeline, f"start_{run}")
    return start(PROMPT, **pictures, **_asked(pipeline.model, c, sampler))


def _run(model: Model, c: Configuration) -> tuple[str, dict[str, Any]]:
    """The kind of run, and the pictures that it begins with: noise, painted over from its centre on, or enlarged."""
    run = "img2img" if model.num_time_ids == 5 else RUNS.get(model.purpose, "txt2img")
    if run == "txt2img":
        return run, {}
    factor = model.vae_scale_factor if run == "upscale" else 1
    size = (c.height // factor, c.width // factor)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    pictures = {"image": noise} | ({"mask": _mask(c)} if run == "inpaint" else {})
    return run, pictures | ({"depth": noise[:, :, 0].astype(np.float32)} if model.purpose == "depth" else {})


def _mask(c: Configuration) -> Any:
    mask = np.zeros((c.height, c.width), np.uint8)
    mask[c.height // 4 : -(c.height // 4) or None, c.width // 4 : -(c.width // 4) or None] = 255
    return mask


def _asked(model: Model, c: Configuration, sampler: str | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"width": c.width, "height": c.height, "num_inference_steps": c.steps}
    if model.num_time_ids == 5 or model.purpose == "depth":
        asked["strength"] = 1.0  # all of the steps
    return asked | {"guidance_scale": c.guidance_scale, "sampler": sampler, "seed": list(range(c.batch))}
