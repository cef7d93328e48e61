"""What is asked of one generation, checked before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy.typing as npt

from latentrt.checks import count, number, whole
from latentrt.errors import InputError, ModelError
from latentrt.models.bundle import Model
from latentrt.painting.guidance import WHOLE_RUN, Guidance, GuidanceScale, make_guidance
from latentrt.painting.inpainting import Inpainting, make_inpainting
from latentrt.painting.seeds import Seeds, make_seeds
from latentrt.pictures import images
from latentrt.pictures.mask import Mask
from latentrt.pictures.metadata import GenerationParameters, number_text
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
    """A checked request. `pixels` are those that img2img and inpaint begin with, float32 (1, 3, h, w); `latents`, clean
    and scaled (n, c, h, w), those that a second pass begins with in their stead, one for each picture.
    """

    prompt: str
    negative_prompt: str
    width: int
    height: int
    latent_size: tuple[int, int]
    guidance: Guidance
    sampler: Sampler
    schedule: Schedule
    num_inference_steps: int
    seeds: Seeds
    clip_skip: int | None
    eta: float | None
    strength: float | None
    pixels: Array | None
    inpainting: Inpainting | None
    masked_unet: bool
    latents: Array | None = None

    @property
    def from_noise(self) -> bool:
        """Whether the run begins with noise alone, and not with a picture under noise."""
        if self.inpainting is None:
            return self.pixels is None and self.latents is None
        return self.strength == 1 and not self.inpainting.asked.differential

    @property
    def blends(self) -> bool:
        """Whether what is to be kept is put back in each step; an inpainting UNet sees to that itself."""
        return self.inpainting is not None and (not self.masked_unet or self.inpainting.asked.differential)

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the finished pictures."""
        return (self.width, self.height) if self.inpainting is None else self.inpainting.picture.size

    def parameters(self, model_name: str) -> list[GenerationParameters]:
        """What to write into each picture."""
        sampler, schedule_type, extra = self.sampler.metadata
        extra += _guidance_entries(self.guidance)
        if self.seeds.rng != "cpu":
            extra += (("RNG", self.seeds.rng.upper()),)
        if self.inpainting is not None:
            extra += self.inpainting.asked.metadata
        made = []
        for batch in self.seeds.batches:
            for index, seed in enumerate(batch.seeds):
                shared = self.seeds.one_stream and len(batch.seeds) > 1
                place = (("Batch size", str(len(batch.seeds))), ("Batch pos", str(index))) if shared else ()
                made.append(
                    GenerationParameters(
                        prompt=self.prompt,
                        negative_prompt=self.negative_prompt,
                        steps=self.num_inference_steps,
                        sampler=sampler,
                        schedule_type=schedule_type,
                        guidance_scale=self.guidance.points[0],
                        seed=seed,
                        variation_seed=batch.variations[index] if batch.variations else None,
                        variation_strength=self.seeds.variation_strength if batch.variations else None,
                        width=self.width,
                        height=self.height,
                        model=model_name,
                        strength=self.strength,
                        clip_skip=self.clip_skip + 1
                        if self.clip_skip
                        else None,  # AUTOMATIC1111 counts from 1
                        eta=self.eta,
                        extra=extra + place,
                    )
                )
        return made


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
            the work. One number; several, which are spread evenly over the run with straight lines between them
            (as many as steps: one for each); or a function of the step, counted from 0. Default: what the model's
            files advise, else 7.5.
        guidance_rescale: how far to bring the guided output's deviation back to that of the prompt's, 0 to 1
            (arXiv:2305.08891 §3.4). Default: 0.
        guidance_interval: (start, end), shares of the steps that are run: guidance in the steps between them alone,
            which costs half in the others (arXiv:2404.07724). Default: (0, 1).
        seed: one seed for one stream of noise over all pictures (as diffusers does with one generator), or a seed for
            each picture, which then comes out the same alone. Default: drawn at random; `Result.seeds` tells.
        rng: "cpu" draws noise as torch does on the CPU, "nv" as on CUDA, which AUTOMATIC1111 does. Default: "cpu".
        variation_seed: one for all pictures, or one for each: where the noise is turned to. Default: drawn at random.
        variation_strength: how far the noise is turned from that of the seed to that of the variation seed, 0 to 1,
            as in AUTOMATIC1111. Default: 0.
        num_images: how many pictures. Default: as many as seeds.
        batch_size: how many at a time, where each has its seed. Default: all at once.
        sampler: a name of `latentrt.samplers`, as diffusers, ComfyUI or AUTOMATIC1111 call it. Default: what the
            model's files say.
        schedule: one of ComfyUI's sigma schedules ("sgm_uniform"), or AUTOMATIC1111's schedule type, in place of the
            sampler's own spacing. Default: the sampler's own.
        eta: share of fresh noise in each step of DDIM (default 0) and TCD (0.3), 0 to 1.
        clip_skip: how many of the text encoder's last layers to leave out, as diffusers counts. Default: 0.
    """

    negative_prompt: str
    width: int | None
    height: int | None
    num_inference_steps: int | None
    guidance_scale: GuidanceScale | None
    guidance_rescale: float | None
    guidance_interval: tuple[float, float] | None
    seed: int | Sequence[int] | None
    rng: str | None
    variation_seed: int | Sequence[int] | None
    variation_strength: float | None
    num_images: int | None
    batch_size: int | None
    sampler: str | None
    schedule: str | None
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
    guidance_scale: GuidanceScale | None = None,
    guidance_rescale: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    seed: int | Sequence[int] | None = None,
    rng: str | None = None,
    variation_seed: int | Sequence[int] | None = None,
    variation_strength: float | None = None,
    num_images: int | None = None,
    batch_size: int | None = None,
    sampler: str | None = None,
    schedule: str | None = None,
    eta: float | None = None,
    clip_skip: int | None = None,
    strength: float | None = None,
    picture: "Image | None" = None,
    mask: Mask | None = None,
) -> Request:
    """Fill in what the model's files say, and check the rest.

    Raises:
        InputError: a value is out of range or of the wrong kind; the message names it.
    """
    for name, text in (("prompt", prompt), ("negative_prompt", negative_prompt)):
        if not isinstance(text, str):
            raise InputError(f"{name}: expected text, got {type(text).__name__}")
    _check_channels(model, inpainting=mask is not None)
    if picture is not None and (mask is None or mask.padding is None):
        factor = model.vae_scale_factor
        width = max(picture.width // factor, 1) * factor if width is None else width
        height = max(picture.height // factor, 1) * factor if height is None else height
    width, height = (_size(name, asked, model) for name, asked in (("width", width), ("height", height)))
    steps = num_inference_steps
    if steps is None:
        steps = int(model.defaults.get("num_inference_steps", DEFAULT_STEPS))
    steps = count("num_inference_steps", steps)
    if guidance_scale is None:
        guidance_scale = float(model.defaults.get("guidance_scale", DEFAULT_GUIDANCE_SCALE))
    if strength is not None and not 0 < number("strength", strength) <= 1:
        raise InputError(f"strength: expected more than 0 and at most 1, got {strength}")
    if sampler is None:
        sampler = model.defaults.get("sampler")
    resolved = resolve(sampler, model.scheduler_config, schedule)
    if eta is not None:
        resolved.check_options(eta=number("eta", eta))
    visited = resolved.schedule(steps)
    if strength is not None:
        visited = visited.truncated(strength)
    layers = model.text_layers
    if clip_skip is not None and not 0 <= whole("clip_skip", clip_skip) < layers:
        raise InputError(
            f"clip_skip: expected 0 to {layers - 1} for a text encoder of {layers} layers, got {clip_skip}"
        )
    seeds = make_seeds(seed, num_images, batch_size, rng, variation_seed, variation_strength)
    inpainting = pixels = None
    if picture is not None and mask is not None:
        inpainting = make_inpainting(picture, mask, width, height, model.vae_scale_factor)
        pixels = inpainting.pixels
    elif picture is not None:
        pixels = images.to_array(images.resize_to(picture, width, height))
    return Request(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        latent_size=(height // model.vae_scale_factor, width // model.vae_scale_factor),
        guidance=make_guidance(
            guidance_scale, len(visited), visited.order, guidance_interval, guidance_rescale
        ),
        sampler=resolved,
        schedule=visited,
        num_inference_steps=steps,
        seeds=seeds,
        clip_skip=clip_skip,
        strength=strength,
        eta=eta,
        pixels=pixels,
        inpainting=inpainting,
        masked_unet=model.unet_channels != model.latent_channels,
    )


def _check_channels(model: Model, inpainting: bool) -> None:
    """Refuse a UNet that takes other channels than there are to give."""
    channels, latent_channels = model.unet_channels, model.latent_channels
    masked = 2 * latent_channels + 1  # of the sample, the mask, and the masked picture
    if channels == latent_channels or (inpainting and channels == masked):
        return
    if inpainting:
        raise ModelError(
            f"{model.name}: its UNet takes {channels} channels; expected the {latent_channels} of its latents, or "
            f"{masked} with those of a mask and a masked picture. Use a text-to-image or an inpainting checkpoint."
        )
    raise ModelError(
        f"{model.name}: its UNet takes {channels} channels, not the {latent_channels} of its latents: it is made "
        "for inpainting or editing, which txt2img and img2img cannot drive. Use a text-to-image checkpoint."
    )


def _guidance_entries(guidance: Guidance) -> tuple[tuple[str, str], ...]:
    """Entries of a picture's text for what the scale alone does not say."""
    entries = {
        "CFG schedule": guidance.points if len(guidance.points) > 1 else (),
        "CFG interval": guidance.interval if guidance.interval != WHOLE_RUN else (),
        "CFG rescale": (guidance.rescale,) if guidance.rescale else (),
    }
    return tuple((key, " ".join(map(number_text, values))) for key, values in entries.items() if values)


def _size(name: str, asked: int | None, model: Model) -> int:
    """A side of the picture: what is asked for, else what the model's maker advises, else what it was made for."""
    multiple = model.vae_scale_factor
    if asked is None:
        asked = model.defaults.get(name)
    if asked is None:
        asked = model.default_size
    size = count(name, asked)
    if size % multiple:
        below = max(size // multiple, 1) * multiple
        raise InputError(
            f"{name}: expected a multiple of {multiple}, got {size}; try {below} or {below + multiple}"
        )
    return size
