"""What is asked of one generation, checked before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy.typing as npt

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError, SettingError
from latentrt.models.model import Model
from latentrt.painting.advice import filled
from latentrt.painting.fitting import check_channels, check_clip_skip, named, settle_edit, size_of
from latentrt.painting.guidance import Guidance, make_guidance, refuse_unguided
from latentrt.painting.inpainting import Inpainting, make_inpainting
from latentrt.painting.kinds import Text
from latentrt.painting.picture_settings import RUNS, AnySettings, refuse_others
from latentrt.painting.sampling import make_sampling
from latentrt.painting.seeds import Seeds, make_seeds
from latentrt.painting.setting import checked, entries, record
from latentrt.painting.told import refuse_untold, time_ids
from latentrt.pictures import images
from latentrt.pictures.mask import Mask
from latentrt.pictures.metadata import FIELDS, GenerationParameters
from latentrt.samplers import CLASS_ENTRY, SCHEDULE_ENTRY, Sampler
from latentrt.schedule import Schedule

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]

# The entry of a picture's text that says so; without it an XL model was told nothing.
EMPTY_NEGATIVE = ("Empty negative prompt", "encoded")


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes:
        run: a key of `RUNS`.
        prompt: what to paint.
        settings: every setting of this kind of run by its name, as it is used; None for one that is left to others.
        latent_size: height and width of the latents.
        pixels: those that img2img and inpaint begin with, float32 (1, 3, h, w).
        latents: those that a second pass begins with in their stead, clean and scaled, (n, c, h, w).
        masked_unet: the UNet takes a mask and a masked picture.
        evaluations: how many of the schedule's are run; None: all.
        continues: it goes on with the latents of another run, with the noise that is in them.
        zeroes_negative: zeros stand for the negative prompt.
        encodes_empty_negative: it was given, empty, to a model for which zeros would stand otherwise.
        time_ids: what an XL model is told of sizes, for the prompt and for the negative prompt.
        guidance_width: of the embedded guidance scale that the UNet takes; 0 where it takes none.
        edited_scale: what the picture's latents are multiplied by where the UNet is shown them to edit; None where it
            is not made for that.
    """

    run: str
    prompt: str
    settings: Mapping[str, Any]
    latent_size: tuple[int, int]
    guidance: Guidance
    sampler: Sampler
    schedule: Schedule
    seeds: Seeds
    pixels: Array | None
    inpainting: Inpainting | None
    masked_unet: bool
    latents: Array | None = None
    evaluations: int | None = None
    continues: bool = False
    zeroes_negative: bool = False
    encodes_empty_negative: bool = False
    time_ids: tuple[Array, Array] | None = None
    guidance_width: int = 0
    edited_scale: float | None = None

    @property
    def evaluated(self) -> int:
        """How many evaluations of its schedule are run."""
        return len(self.schedule) if self.evaluations is None else self.evaluations

    @property
    def negative_prompt(self) -> str:
        """What to stay away from."""
        return str(self.settings["negative_prompt"])

    @property
    def takes_negative(self) -> bool:
        """Whether any evaluation asks the UNet what it makes of the negative prompt."""
        return self.guidance.is_guided and not self.guidance_width

    @property
    def edits(self) -> bool:
        """Whether the UNet is shown the picture all along, and begins with noise alone."""
        return self.edited_scale is not None

    @property
    def rows(self) -> int:
        """How many rows of its batch the UNet is asked for a picture, at the most."""
        return 1 + self.takes_negative + (self.takes_negative and self.guidance.image_scale != 1)

    def texts(self, encoders: int) -> dict[str, tuple[str, ...]]:
        """What each of so many text encoders reads, by what warnings call it: the negative prompt, then the prompt."""
        settings = self.settings
        read = {"prompt": (self.prompt, settings["prompt_2"])}
        if self.takes_negative and not self.zeroes_negative:
            read = {"negative prompt": (self.negative_prompt, settings["negative_prompt_2"]), **read}
        return {
            name: (first, first if second is None else second)[:encoders]
            for name, (first, second) in read.items()
        }

    @property
    def width(self) -> int:
        """Of what is painted, in pixels."""
        return int(self.settings["width"])

    @property
    def height(self) -> int:
        """Of what is painted, in pixels."""
        return int(self.settings["height"])

    @property
    def num_inference_steps(self) -> int:
        """Of the whole schedule."""
        return int(self.settings["num_inference_steps"])

    @property
    def clip_skip(self) -> int:
        """Layers of the text encoder to leave out."""
        return int(self.settings["clip_skip"])

    @property
    def eta(self) -> float | None:
        """Share of fresh noise; None: the sampler's own."""
        eta: float | None = self.settings["eta"]
        return eta

    @property
    def from_noise(self) -> bool:
        """Whether the run begins with noise alone, and not with a picture under noise."""
        if self.inpainting is None:
            return self.edits or (self.pixels is None and self.latents is None)
        return self.settings["strength"] == 1 and not self.inpainting.asked.differential

    @property
    def blends(self) -> bool:
        """Whether what is to be kept is put back in each step; an inpainting UNet sees to that itself."""
        return self.inpainting is not None and (not self.masked_unet or self.inpainting.asked.differential)

    @property
    def output_size(self) -> tuple[int, int]:
        """Width and height of the finished pictures."""
        return (self.width, self.height) if self.inpainting is None else self.inpainting.picture.size

    def parameters(self, model: Model) -> list[GenerationParameters]:
        """What to write into each picture."""
        made = []
        for batch in self.seeds.batches:
            for index, seed in enumerate(batch.seeds):
                varied = {"variation_seed": batch.variations[index]} if batch.variations else {}
                told = self._told(seed, varied)
                shared = self.seeds.one_stream and len(batch.seeds) > 1
                place = (("Batch size", str(len(batch.seeds))), ("Batch pos", str(index))) if shared else ()
                texts = entries(RUNS[self.run], told)
                made.append(
                    GenerationParameters(
                        prompt=self.prompt,
                        negative_prompt=self.negative_prompt,
                        width=self.width,
                        height=self.height,
                        model=model.name,
                        **{FIELDS[key][0]: value for key, (value, _) in texts.items() if key in FIELDS},
                        extra=tuple((key, text) for key, (_, text) in texts.items() if key not in FIELDS)
                        + model.entries
                        + (EMPTY_NEGATIVE,) * self.encodes_empty_negative
                        + place,
                        told=told | {"one_stream": shared or None},
                    )
                )
        return made

    def _told(self, seed: int, varied: Mapping[str, int]) -> dict[str, Any]:
        """What `--json` and the picture's text tell of one picture."""
        sampler, schedule_type, more = self.sampler.metadata
        own = dict(more)
        values = {**self.settings, "seed": seed, "variation_seed": None, **varied}
        return record(RUNS[self.run], values) | {
            "sampler": sampler,
            "sampler_class": own.get(CLASS_ENTRY),
            "schedule_type": schedule_type,
            "sigma_schedule": own.get(SCHEDULE_ENTRY),
        }


def make_request(
    model: Model,
    run: str,
    prompt: str,
    picture: "Image | None" = None,
    mask: "Image | None" = None,
    share: float | None = None,
    /,
    continues: bool = False,
    **settings: Unpack[AnySettings],
) -> Request:
    """Fill in what the model's files say, and check the rest.

    Args:
        model: what is to paint.
        run: a key of `RUNS`.
        prompt: what to paint.
        picture: what img2img and inpaint begin with.
        mask: what inpaint paints of it.
        continues: it goes on where another model's run stopped, which a refiner may.
        share: of the steps that a second pass runs, the last; None: all, or those that `strength` says.
        **settings: those of this kind of run.

    Raises:
        SettingError: a value is out of range or of the wrong kind, or no setting of this kind of run.
    """
    refuse_others(run, settings)
    asked = checked(RUNS[run], settings)
    refuse_untold(model, asked)
    if model.num_time_ids == 5 and run == "txt2img" and not continues:
        raise ModelError(
            f"{model.name}: is a refiner, which ends what another model began; use it for img2img, or as the refiner "
            "of a model of SDXL's kind"
        )
    prompt = Text().check("prompt", prompt)
    check_channels(model, run)
    factor = model.vae_scale_factor
    if picture is not None and asked.get("padding_mask_crop") is None:
        for name, side in (("width", picture.width), ("height", picture.height)):
            if asked[name] is None:
                asked[name] = model.fixed_side(name) or max(side // factor, 1) * factor
    width, height = (size_of(name, asked[name], model) for name in ("width", "height"))
    if width * height > MAX_PIXELS:
        raise SettingError("width", f"expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
    settle_edit(model, settings, asked)
    used = filled(model, asked)
    sampler, schedule = make_sampling(model, asked, used, inpaints=mask is not None)
    if used["num_inference_steps"] is None:
        used["num_inference_steps"] = schedule.num_inference_steps
    if (share := asked.get("strength", share)) is not None:
        with named("strength"):
            schedule = schedule.truncated(share)
    check_clip_skip(model, asked["clip_skip"])
    rescale, image_scale = used["guidance_rescale"], used.get("image_guidance_scale")
    guidance = make_guidance(
        used["guidance_scale"],
        len(schedule),
        schedule.order,
        asked["guidance_interval"],
        0.0 if rescale is None else rescale,
        1.0 if image_scale is None else image_scale,
    )
    if not guidance.is_guided or model.guidance_width:
        refuse_unguided(asked)
        used["image_guidance_scale"] = None
    noise = ("seed", "num_images", "batch_size", "rng", "variation_seed", "variation_strength")
    seeds = make_seeds(**{key: asked[key] for key in noise})
    inpainting = pixels = None
    if picture is not None and mask is not None:
        names = ("mask_blur", "invert_mask", "padding_mask_crop", "differential", "overlay")
        with named("mask", *names, others=("invert_mask", "padding_mask_crop")):
            inpainting = make_inpainting(
                picture, Mask(mask, *(asked[name] for name in names)), width, height, factor
            )
        pixels = inpainting.pixels
    elif picture is not None:
        pixels = images.to_array(images.resize_to(picture, width, height))
    used |= {"width": width, "height": height, "guidance_scale": guidance.points}
    zeroes = model.zeroes_empty_negative and settings.get("negative_prompt") is None
    if zeroes and asked["negative_prompt_2"] is not None:
        raise SettingError(
            "negative_prompt_2", "does nothing without negative_prompt", others=("negative_prompt",)
        )
    return Request(
        run=run,
        prompt=prompt,
        settings=used,
        latent_size=(height // factor, width // factor),
        guidance=guidance,
        sampler=sampler,
        schedule=schedule,
        seeds=seeds,
        pixels=pixels,
        inpainting=inpainting,
        masked_unet=model.purpose == "inpaint",
        continues=continues,
        zeroes_negative=zeroes,
        encodes_empty_negative=model.zeroes_empty_negative and not zeroes and not asked["negative_prompt"],
        time_ids=time_ids(model, used, run),
        guidance_width=model.guidance_width,
        edited_scale=model.edited_scale,
    )
