"""What is asked of one generation, checked before anything is computed."""

import math
import operator
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy.typing as npt

from latentrt import images
from latentrt.bundle import Model
from latentrt.errors import InputError, ModelError
from latentrt.metadata import GenerationParameters
from latentrt.noise import TorchGenerator
from latentrt.samplers import Sampler, resolve
from latentrt.schedule import Schedule

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]

# Where the model's files advise nothing.
DEFAULT_STEPS = 25
DEFAULT_GUIDANCE_SCALE = 7.5


@dataclass(frozen=True)
class Request:
    """A checked request. `batches` are the seeds of each batch; `pixels` float32 (1, 3, h, w) in img2img."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    latent_size: tuple[int, int]
    guidance_scale: float
    sampler: Sampler
    schedule: Schedule
    num_inference_steps: int
    batches: tuple[tuple[int, ...], ...]
    one_stream: bool
    clip_skip: int | None
    eta: float | None
    strength: float | None
    pixels: Array | None

    def parameters(self, index: int, seed: int, model_name: str) -> GenerationParameters:
        """What to write into the picture of this index and seed."""
        count = len(self.batches[0])
        shared = self.one_stream and count > 1
        sampler, schedule_type, extra = self.sampler.metadata
        if shared:
            extra += (("Batch size", str(count)), ("Batch pos", str(index)))
        return GenerationParameters(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            steps=self.num_inference_steps,
            sampler=sampler,
            schedule_type=schedule_type,
            guidance_scale=self.guidance_scale,
            seed=seed,
            width=self.width,
            height=self.height,
            model=model_name,
            strength=self.strength,
            clip_skip=None if not self.clip_skip else self.clip_skip + 1,  # AUTOMATIC1111 counts from 1
            eta=self.eta,
            extra=extra,
        )


class Settings(TypedDict, total=False):
    """The settings of a generation that have a default.

    Attributes:
        negative_prompt: what to stay away from; used where `guidance_scale` is above 1.
        width: in pixels, a multiple of the VAE's factor (8). Default: what the model was made for, or in img2img
            the picture's own, rounded down.
        height: likewise.
        num_inference_steps: 1 or more; img2img computes about `strength` times as many. Default: what the model's files
            advise, else 25.
        guidance_scale: how far to go from the negative prompt to the prompt; 1 or less turns guidance off, and halves
            the work. Default: what the model's files advise, else 7.5.
        seed: one seed for one stream of noise over all pictures (as diffusers does with one generator), or a seed for
            each picture, which then comes out the same alone. Default: drawn at random; `Result.seeds` tells.
        num_images: how many pictures. Default: as many as seeds.
        batch_size: how many at a time, where each has its seed. Default: all at once.
        sampler: a name of `latentrt.samplers`, as diffusers, ComfyUI or AUTOMATIC1111 call it. Default: what the
            model's files say.
        eta: share of fresh noise in each step of DDIM (default 0) and TCD (0.3), 0 to 1.
        clip_skip: how many of the text encoder's last layers to leave out, as diffusers counts. Default: 0.
    """

    negative_prompt: str
    width: int | None
    height: int | None
    num_inference_steps: int | None
    guidance_scale: float | None
    seed: int | Sequence[int] | None
    num_images: int | None
    batch_size: int | None
    sampler: str | None
    eta: float | None
    clip_skip: int | None


def make_request(
    model: Model,
    prompt: str,
    *,
    negative_prompt: str = "",
    width: int | None = None,
    height: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | Sequence[int] | None = None,
    num_images: int | None = None,
    batch_size: int | None = None,
    sampler: str | None = None,
    eta: float | None = None,
    clip_skip: int | None = None,
    strength: float | None = None,
    picture: "Image | None" = None,
) -> Request:
    """Fill in what the model's files say, and check the rest.

    Raises:
        InputError: a value is out of range or of the wrong kind; the message names it.
    """
    for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
        if not isinstance(text, str):
            raise InputError(f"{name}: expected text, got {type(text).__name__}")
    channels, latent_channels = model.unet_channels, model.latent_channels
    if channels != latent_channels:
        raise ModelError(
            f"{model.name}: its UNet takes {channels} channels, not the {latent_channels} of its latents: it is made "
            "for inpainting or editing, which txt2img and img2img cannot drive. Use a text-to-image checkpoint."
        )
    if picture is not None:
        factor = model.vae_scale_factor
        width = max(picture.width // factor, 1) * factor if width is None else width
        height = max(picture.height // factor, 1) * factor if height is None else height
    width, height = (_size(name, asked, model) for name, asked in (("width", width), ("height", height)))
    steps = num_inference_steps
    if steps is None:
        steps = int(model.defaults.get("num_inference_steps", DEFAULT_STEPS))
    steps = _count("num_inference_steps", steps)
    if guidance_scale is None:
        guidance_scale = float(model.defaults.get("guidance_scale", DEFAULT_GUIDANCE_SCALE))
    guidance_scale = _number("guidance_scale", guidance_scale)
    if strength is not None and not 0 < _number("strength", strength) <= 1:
        raise InputError(f"strength: expected more than 0 and at most 1, got {strength}")
    if sampler is None:
        sampler = model.defaults.get("sampler")
    resolved = resolve(sampler, model.scheduler_config)
    if eta is not None:
        resolved.check_options(eta=_number("eta", eta))
    schedule = resolved.schedule(steps)
    if strength is not None:
        schedule = schedule.truncated(strength)
    layers = model.text_layers
    if clip_skip is not None and not 0 <= _whole("clip_skip", clip_skip) < layers:
        raise InputError(
            f"clip_skip: expected 0 to {layers - 1} for a text encoder of {layers} layers, got {clip_skip}"
        )
    batches, one_stream = _batches(seed, num_images, batch_size)
    return Request(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        latent_size=(height // model.vae_scale_factor, width // model.vae_scale_factor),
        guidance_scale=guidance_scale,
        sampler=resolved,
        schedule=schedule,
        num_inference_steps=steps,
        batches=batches,
        one_stream=one_stream,
        clip_skip=clip_skip,
        strength=strength,
        eta=eta,
        pixels=None if picture is None else images.to_array(images.resize_to(picture, width, height)),
    )


def _batches(
    seed: int | Sequence[int] | None, num_images: int | None, batch_size: int | None
) -> tuple[tuple[tuple[int, ...], ...], bool]:
    """Seeds by batch, and whether one stream of random numbers serves the whole batch."""
    if seed is None:
        seed = secrets.randbits(32)
    seeds = tuple(seed) if isinstance(seed, Sequence) else (seed,)
    if not seeds:
        raise InputError("seed: expected a seed, or a list of at least one; got none")
    for one in seeds:
        TorchGenerator(one)  # refuses what is no seed
    if isinstance(seed, Sequence):
        if num_images not in (None, len(seeds)):
            raise InputError(f"num_images: expected {len(seeds)}, one for each seed, got {num_images}")
        size = _count("batch_size", len(seeds) if batch_size is None else batch_size)
        return tuple(seeds[i : i + size] for i in range(0, len(seeds), size)), False
    count = _count("num_images", 1 if num_images is None else num_images)
    if batch_size not in (None, count):
        raise InputError(
            f"batch_size: one seed draws its noise for all {count} pictures at once; "
            f"give a seed for each picture to split them into batches of {batch_size}"
        )
    return ((seed,) * count,), True


def _size(name: str, asked: int | None, model: Model) -> int:
    """A side of the picture: what is asked for, else what the model's maker advises, else what it was made for."""
    multiple = model.vae_scale_factor
    if asked is None:
        asked = model.defaults.get(name)
    if asked is None:
        asked = model.default_size
    size = _count(name, asked)
    if size % multiple:
        below = max(size // multiple, 1) * multiple
        raise InputError(
            f"{name}: expected a multiple of {multiple}, got {size}; try {below} or {below + multiple}"
        )
    return size


def _count(name: str, value: Any) -> int:
    count = _whole(name, value)
    if count < 1:
        raise InputError(f"{name}: expected a whole number of 1 or more, got {value!r}")
    return count


def _whole(name: str, value: Any) -> int:
    """An integer of any kind, numpy's too, but no truth value."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name}: expected a whole number, got {value!r}") from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, str | bool | None) or not math.isfinite(value):
        raise InputError(f"{name}: expected a finite number, got {value!r}")
    return float(value)
