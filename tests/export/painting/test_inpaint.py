"""Inpainting, guidance and their random draws against diffusers in torch on the CPU, in fp32.

Two small random models that differ in the UNet's first layer: one made for text to image, one for inpainting.
"""

import json

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_unet, save_pipeline
from PIL import Image, ImageDraw

import latentrt
from latentrt_export.bundle.export import export_model

PROMPT, NEGATIVE = "ab c", "b"
STEPS = 20
CLASSES = {
    "ddim": diffusers.DDIMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler_ancestral": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp_2m_karras": diffusers.DPMSolverMultistepScheduler,
}
SCHEDULER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1,
             "timestep_spacing": "leading", "clip_sample": False, "set_alpha_to_one": False}  # fmt: skip
OPTIONS = {"pndm": {"skip_prk_steps": True}, "dpmpp_2m_karras": {"use_karras_sigmas": True}}


def picture(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def ellipse(width, height, box):
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


IMAGE, MASK = picture(48, 32), ellipse(48, 32, (9, 6, 37, 27))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small are slower on several threads of torch, by far where other programs run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """By the UNet's channels: diffusers' inpainting pipeline, and ours over a bundle of the same weights."""
    opened = {}
    for channels in (4, 9):
        root = tmp_path_factory.mktemp(f"unet{channels}")
        save_pipeline(root / "model", unet=make_unet(in_channels=channels))
        path = root / "model/scheduler/scheduler_config.json"
        path.write_text(json.dumps({**SCHEDULER, "_class_name": "DDIMScheduler"}))
        export_model(root / "model", root / "bundle")
        reference = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
            root / "model", local_files_only=True, torch_dtype=torch.float32
        )
        reference.tokenizer.model_max_length = 77  # transformers finds none in the small tokenizer's files
        for module in (reference.unet, reference.vae, reference.text_encoder):
            for parameter in module.parameters():
                parameter.data = parameter.data.half().float()  # as the bundle holds them
        reference.set_progress_bar_config(disable=True)
        opened[channels] = reference, latentrt.load(root / "bundle", device="cpu")
    yield opened
    for _, pipeline in opened.values():
        pipeline.close()


def scheduled(reference, sampler, kind=None):
    """The same networks with another scheduler, in another pipeline if `kind` says so."""
    made = reference
    if kind is not None:
        parts = {**reference.components, "image_encoder": None}
        made = kind(**parts, requires_safety_checker=False)
        made.set_progress_bar_config(disable=True)
    made.scheduler = CLASSES[sampler].from_config({**SCHEDULER, **OPTIONS.get(sampler, {})})
    return made


def generator(seed):
    return torch.Generator("cpu").manual_seed(seed)


def compare(result, latents, bound=3e-4):  # of values up to 60
    latents = latents.numpy()
    assert result.latents.shape == latents.shape
    assert np.abs(latents).max() > 0.1
    assert np.abs(result.latents - latents).max() < bound


@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.parametrize("strength", [0.6, 1.0])
@pytest.mark.parametrize("sampler", CLASSES)
def test_inpaint(models, channels, strength, sampler):
    reference, pipeline = models[channels]
    latents = scheduled(reference, sampler)(
        PROMPT, image=IMAGE, mask_image=MASK, strength=strength, negative_prompt=NEGATIVE, width=48, height=32,
        num_inference_steps=STEPS, guidance_scale=4.0, generator=generator(7), output_type="latent",
    ).images  # fmt: skip
    result = pipeline.inpaint(
        PROMPT, IMAGE, MASK, strength=strength, negative_prompt=NEGATIVE, mask_blur=0, overlay=False,
        num_inference_steps=STEPS, guidance_scale=4.0, seed=7, sampler=sampler,
    )  # fmt: skip
    compare(result, latents)


@pytest.mark.parametrize("channels", [4, 9])
def test_batch_of_one_stream(models, channels):
    """One posterior sample each of picture and masked picture for all three, and noise of their own."""
    reference, pipeline = models[channels]
    latents = scheduled(reference, "euler_ancestral")(
        PROMPT, image=IMAGE, mask_image=MASK, strength=0.7, width=48, height=32, num_images_per_prompt=3,
        num_inference_steps=6, guidance_scale=1.0, generator=generator(3), output_type="latent",
    ).images  # fmt: skip
    result = pipeline.inpaint(
        PROMPT, IMAGE, MASK, strength=0.7, mask_blur=0, overlay=False, seed=3, num_images=3,
        num_inference_steps=6, guidance_scale=1.0, sampler="euler_ancestral",
    )  # fmt: skip
    compare(result, latents)


@pytest.mark.parametrize("channels", [4, 9])
def test_list_of_seeds(models, channels):
    """Each picture is that of its seed alone.

    diffusers, given a list of generators, draws the pictures' latents from the first of them for all (its
    `_encode_vae_image` goes by the number of source pictures), so that a picture depends on its neighbours there.
    """
    reference, pipeline = models[channels]
    result = pipeline.inpaint(
        PROMPT, IMAGE, MASK, strength=0.7, mask_blur=0, seed=[3, 4], num_inference_steps=6, guidance_scale=1.0,
        sampler="euler_ancestral",
    )  # fmt: skip
    alone = [
        scheduled(reference, "euler_ancestral")(
            PROMPT, image=IMAGE, mask_image=MASK, strength=0.7, width=48, height=32, num_inference_steps=6,
            guidance_scale=1.0, generator=generator(seed), output_type="latent",
        ).images
        for seed in (3, 4)
    ]  # fmt: skip
    compare(result, torch.cat(alone))


@pytest.mark.parametrize("overlay", [True, False])
@pytest.mark.parametrize("size", [(120, 100), (120, 40), (30, 100)])
def test_masked_region_alone(models, size, overlay):
    """diffusers' padding_mask_crop, also where the picture has no room for the proportions asked for.

    What is left there is filled from its edge, which diffusers resizes with a filter: a level or two, on few pixels.
    """
    reference, pipeline = models[4]
    width, height = size
    image = picture(width, height, seed=1)
    mask = ellipse(width, height, (width // 5, height // 4, width // 2, height // 2))
    settings = {"strength": 0.8, "width": 64, "height": 48, "num_inference_steps": 5, "guidance_scale": 1.0}
    theirs = scheduled(reference, "ddim")(
        PROMPT, image=image, mask_image=mask, padding_mask_crop=6, generator=generator(5), **settings
    ).images[0]  # fmt: skip
    result = pipeline.inpaint(
        PROMPT,
        image,
        mask,
        mask_blur=0,
        padding_mask_crop=6,
        seed=5,
        sampler="ddim",
        overlay=overlay,
        **settings,
    )
    ours = result.images[0]
    assert ours.size == theirs.size == size
    same, before = (np.asarray(i, int) for i in (theirs, image))
    inside = np.asarray(mask) > 0
    difference = np.abs(np.asarray(ours, int) - same).max(axis=2)
    assert np.mean(difference[inside] <= 1) > 0.99
    assert difference[inside].max() <= 3
    assert (np.asarray(ours)[~inside] == before[~inside]).all() == overlay
    assert np.abs(np.asarray(ours, int) - before)[inside].mean() > 3


def differential_reference(pipe, image, mask, strength, steps, seed, guidance_scale):
    """arXiv:2306.00950 with diffusers' parts: what its authors' pipeline and the community's compute in each step."""
    scheduler = pipe.scheduler
    scheduler.set_timesteps(steps)
    timesteps, _ = pipe.get_timesteps(steps, strength, "cpu")
    rng = generator(seed)
    pixels = pipe.image_processor.preprocess(image)
    with torch.inference_mode():
        clean = pipe.vae.encode(pixels).latent_dist.sample(rng) * pipe.vae.config.scaling_factor
        noise = torch.randn(clean.shape, generator=rng)
        embeds = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
        context = torch.cat([embeds[1], embeds[0]])
        keep, latents = 1 - torch.from_numpy(mask), clean
        for i, t in enumerate(timesteps):
            known = scheduler.add_noise(clean, noise, t[None])
            latents = known if i == 0 else torch.where(keep > i / len(timesteps), known, latents)
            sample = scheduler.scale_model_input(torch.cat([latents] * 2), t)
            negative, positive = pipe.unet(sample, t, encoder_hidden_states=context).sample.chunk(2)
            output = negative + guidance_scale * (positive - negative)
            latents = scheduler.step(output, t, latents).prev_sample
    # Where the mask is 0, the source as it is; there the authors' last step moves it a little.
    return torch.where(keep == 1, clean, latents)


@pytest.mark.parametrize("sampler", ["ddim", "euler"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_differential(models, sampler, strength):
    reference, pipeline = models[4]
    levels = np.linspace(0, 255, 8 * 12).round().astype(np.uint8).reshape(8, 12)
    soft = Image.fromarray(levels.repeat(4, axis=0).repeat(4, axis=1))
    latents = differential_reference(
        scheduled(reference, sampler), IMAGE, levels[None, None] / np.float32(255), strength, STEPS, 9, 3.0
    )
    result = pipeline.inpaint(
        PROMPT, IMAGE, soft, strength=strength, differential=True, mask_blur=0, overlay=False, seed=9,
        negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=3.0, sampler=sampler,
    )  # fmt: skip
    compare(result, latents)


@pytest.mark.parametrize("rescale", [0.7, 1.0])
def test_guidance_rescale(models, rescale):
    reference, pipeline = models[4]
    latents = scheduled(reference, "ddim", diffusers.StableDiffusionPipeline)(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=9.0, width=32, height=32,
        guidance_rescale=rescale, num_images_per_prompt=2, generator=generator(1), output_type="latent",
    ).images  # fmt: skip
    result = pipeline.txt2img(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=9.0, width=32, height=32,
        guidance_rescale=rescale, num_images=2, seed=1, sampler="ddim",
    )  # fmt: skip
    compare(result, latents)


def test_guidance_by_steps(models):
    """A scale of its own for each step, as diffusers does it from a callback."""
    reference, pipeline = models[4]
    scales = [9.0, 7.5, 6.0, 3.0, 1.5]

    def change(pipe, step, timestep, tensors):
        pipe._guidance_scale = scales[min(step + 1, len(scales) - 1)]
        return tensors

    latents = scheduled(reference, "dpmpp_2m_karras", diffusers.StableDiffusionPipeline)(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=5, guidance_scale=scales[0], width=32, height=32,
        generator=generator(1), callback_on_step_end=change, output_type="latent",
    ).images  # fmt: skip
    settings = {"negative_prompt": NEGATIVE, "num_inference_steps": 5, "width": 32, "height": 32, "seed": 1}
    for asked in (scales, lambda step: scales[step]):
        result = pipeline.txt2img(PROMPT, guidance_scale=asked, sampler="dpmpp_2m_karras", **settings)
        compare(result, latents)
