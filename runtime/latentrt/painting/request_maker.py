"""A request made of what was asked for: checked, and filled in from the model's files."""

from typing import TYPE_CHECKING, Any, Unpack

import numpy.typing as npt

from latentrt.checks import MAX_PIXELS
from latentrt.errors import ModelError, SettingError
from latentrt.models.model import Model
from latentrt.painting.advice import filled
from latentrt.painting.depth_map import make_depth_map
from latentrt.painting.fast import guided_in
from latentrt.painting.fitting import (
    check_channels,
    check_clip_skip,
    named,
    refuse_unlike,
    refuse_weight,
    settle_edit,
    side_over,
    size_of,
    skipped,
)
from latentrt.painting.following import masking_of, settled, turned
from latentrt.painting.framing import framed
from latentrt.painting.given_latents import fit_latents
from latentrt.painting.guidance import make_guidance, refuse_below, refuse_unguided, skipping
from latentrt.painting.kinds import Text
from latentrt.painting.low_res import make_low_res
from latentrt.painting.masking import MASK_FIELDS, settled_mask
from latentrt.painting.picture_settings import RUNS, AnySettings, refuse_others
from latentrt.painting.program_parts import parts_of, with_parts
from latentrt.painting.request import Request
from latentrt.painting.sampling import make_sampling
from latentrt.painting.seeds import make_seeds
from latentrt.painting.setting import checked
from latentrt.painting.stages import settle_stage
from latentrt.painting.told import refuse_untold, time_ids, zeroes_negative
from latentrt.pictures import images
from latentrt.pictures.mask import Mask

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]


def make_request(
    model: Model,
    run: str,
    prompt: str,
    picture: "Image | None" = None,
    mask: "Image | None" = None,
    share: float | None = None,
    /,
    continues: bool = False,
    latents: Array | None = None,
    second: bool = False,
    depth: Array | None = None,
    **settings: Unpack[AnySettings],
) -> Request:
    """Fill in what the model's files say, and check the rest.

    Args:
        model: what is to paint.
        run: a key of `RUNS`.
        prompt: what to paint.
        picture: what img2img and inpaint begin with, and upscale enlarges.
        mask: what inpaint paints of it.
        continues: it goes on where another model's run stopped, which a refiner may.
        latents: what img2img begins with in place of a picture, (n, c, h, w).
        depth: how far all in the picture is, float32 (h, w), as `load_depth` gives it; of a depth model.
        share: how far a second pass goes, in place of `strength`; None: it is none.
        second: it is a second pass, all of whose steps are run, out of more.
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
                asked[name] = model.fixed_side(name) or side_over(run, side, factor)
    if latents is not None:
        latents = fit_latents(model, latents, asked)
    width, height = (size_of(name, asked[name], model) for name in ("width", "height"))
    if width * height > MAX_PIXELS:
        raise SettingError("width", f"expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
    settle_edit(model, settings, asked)
    used = filled(model, asked)
    masking = None
    if mask is not None:
        whose = asked["mask_like"] or asked["like"]
        masking = masking_of(whose)
        own = settled_mask(masking, whose if isinstance(whose, str) else whose.name, settings)
        asked, used = asked | own, used | own
        refuse_weight(model, asked["mask_weight"])
    program = settled(asked["like"], asked)
    if program is None and asked["like_parts"]:
        raise SettingError(
            "like_parts", "does nothing with diffusers' way; expected another like", others=("like",)
        )
    if program is not None:
        refuse_unlike(model, program.name)
        program = with_parts(program, asked["like_parts"] or {})
        used |= {"like": program.name, "like_parts": parts_of(program) or None}
        program = turned(program, asked)
        if settings.get("rng") is None:
            asked["rng"] = used["rng"] = program.rng
    settle_stage(program, run, settings, asked, second=second)
    used |= {name: asked[name] for name in ("strength",) if name in asked}
    share = asked.get("strength", share)
    sampler, schedule = make_sampling(model, asked, used, mask is not None, program, share, second)
    if used["num_inference_steps"] is None:
        used["num_inference_steps"] = schedule.num_inference_steps
    clip_skip = skipped(model, program, asked["clip_skip"])
    check_clip_skip(model, clip_skip, None if program is None else program.most_clip_skip)
    rescale, image_scale = used["guidance_rescale"], used.get("image_guidance_scale")
    guidance = make_guidance(
        used["guidance_scale"],
        len(schedule),
        schedule.order,
        guided_in(asked["fast"], asked["guidance_interval"]),
        0.0 if rescale is None else rescale,
        1.0 if image_scale is None else image_scale,
        below_one=program is not None,
    )
    if program is not None:
        refuse_below(program.lowest_guidance, program.name, guidance.points)
    guidance = skipping(guidance, schedule, asked["negative_until_sigma"], asked["skip_early_guidance"])
    if not guidance.is_guided or model.guidance_width:
        refuse_unguided(asked)
        used["image_guidance_scale"] = None
    noise = (
        "seed",
        "num_images",
        "batch_size",
        "rng",
        "variation_seed",
        "variation_strength",
        "seed_resize",
        "batch_index",
    )
    counts = program is not None and program.counts_seeds
    seeds = make_seeds(
        **{key: asked[key] for key in (*noise, "eta_seed_delta")}, factor=factor, counts=counts
    )
    inpainting = pixels = low_res = mapped = None
    latent_size = (height // factor, width // factor)
    if picture is not None and mask is not None and masking is not None:
        with named("mask", *MASK_FIELDS, others=("invert_mask", "padding_mask_crop")):
            told = {field: asked[name] for name, field in MASK_FIELDS.items()}
            inpainting = masking.make(picture, Mask(mask, **told, exact=masking.exact), width, height, factor)
        pixels = inpainting.pixels
    elif picture is not None and run == "upscale":
        low_res = make_low_res(model, picture, width, height, asked["noise_level"])
    elif picture is not None:
        mapped = make_depth_map(model, depth, picture.size, latent_size)
        margin = factor if program is not None and program.crops else 0
        pixels = images.to_array(framed(picture, width, height, margin))
    used |= {"width": width, "height": height, "guidance_scale": guidance.points}
    zeroes = zeroes_negative(model, program, settings, asked)
    return Request(
        run=run,
        prompt=prompt,
        settings=used,
        latent_size=latent_size,
        guidance=guidance,
        sampler=sampler,
        schedule=schedule,
        seeds=seeds,
        pixels=pixels,
        inpainting=inpainting,
        masked_unet=model.purpose == "inpaint",
        latents=latents,
        continues=continues,
        clip_skip=clip_skip,
        zeroes_negative=zeroes,
        encodes_empty_negative=model.zeroes_empty_negative and not zeroes and not asked["negative_prompt"],
        time_ids=time_ids(model, used, run),
        guidance_width=model.guidance_width,
        edited_scale=model.edited_scale,
        low_res=low_res,
        depth=mapped,
        program=program,
        masking=masking,
    )
