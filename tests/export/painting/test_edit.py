"""Models that edit pictures (InstructPix2Pix, CosXL's) against diffusers, in small widths with random weights."""

import functools
import itertools

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_text_encoder, make_tokenizer, make_unet, make_vae, make_xl
from PIL import Image

import latentrt

SIZE = (48, 40)
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
EDM = {"sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction"}
PIX2PIX = diffusers.StableDiffusionInstructPix2PixPipeline
XL = diffusers.StableDiffusionXLInstructPix2PixPipeline
KINDS = {
    # name: pipeline, scheduler, what diffusers is told when it opens the folder
    "pix2pix": (PIX2PIX, diffusers.EulerAncestralDiscreteScheduler(**BETAS), {}),
    "pix2pix, ddim": (PIX2PIX, diffusers.DDIMScheduler(**BETAS, clip_sample=False), {}),
    "xl": (XL, diffusers.EulerDiscreteScheduler(**BETAS), {}),
    "cosxl": (XL, diffusers.EDMEulerScheduler(**EDM), {"is_cosxl_edit": True}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Makes a folder of a kind, once, and gives it with the pipeline that diffusers loads of it."""
    kept = {}

    def make(name):
        kind, scheduler, told = KINDS[name]
        if name not in kept:
            kept[name] = tmp_path_factory.mktemp("models") / "model"
            if kind is PIX2PIX:
                parts = {
                    "vae": make_vae(), "text_encoder": make_text_encoder(eos_token_id=8), "tokenizer": make_tokenizer(),
                    "unet": make_unet(in_channels=8), "safety_checker": None, "feature_extractor": None,
                    "requires_safety_checker": False,
                }  # fmt: skip
            else:
                parts = {**make_xl(unet={"in_channels": 8}).components, "add_watermarker": False}
                parts = {
                    key: value
                    for key, value in parts.items()
                    if key not in ("image_encoder", "feature_extractor")
                }
            kind(**{**parts, "scheduler": scheduler}).save_pretrained(kept[name])
        more = {} if "pix" in name else {"add_watermarker": False}
        theirs = kind.from_pretrained(kept[name], local_files_only=True, **told, **more)
        theirs.set_progress_bar_config(disable=True)
        return kept[name], theirs

    return make


def picture(width, height, seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def edited(theirs, image, seed=7, **settings):
    """What diffusers makes of it, told the picture's own size, which its pipeline for XL does not take by itself."""
    if isinstance(theirs, XL):
        settings |= {"width": image.width // 4 * 4, "height": image.height // 4 * 4}
    seeds = seed if isinstance(seed, list) else [seed]
    generators = [torch.Generator("cpu").manual_seed(one) for one in seeds]
    generator = generators if isinstance(seed, list) else generators[0]
    return theirs("ab a", image=image, generator=generator, **settings)


def compare(ours, wanted):
    assert ours.shape == wanted.shape
    assert np.abs(wanted).max() > 0.5
    assert np.abs(ours - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())


GIVEN = {
    "negative": {"guidance_scale": 6.0, "negative_prompt": "b"},
    "close": {"guidance_scale": 3.0, "image_guidance_scale": 2.5},
    "no closer than shown": {"guidance_scale": 5.0, "image_guidance_scale": 1.0, "negative_prompt": "c"},
    "unguided": {"guidance_scale": 1.0},
    "20 steps": {"guidance_scale": 6.0, "image_guidance_scale": 1.2, "num_inference_steps": 20},
}
QUICK = {("pix2pix", "negative"), ("pix2pix, ddim", "close"), ("cosxl", "negative")}


@pytest.mark.parametrize(
    ("kind", "given"),
    [case if case in QUICK else SLOW(*case) for case in itertools.product(KINDS, GIVEN)],
)
def test_latents(saved, kind, given):
    folder, theirs = saved(kind)
    settings = {"num_inference_steps": 4, **GIVEN[given]}
    image = picture(*SIZE)
    wanted = edited(theirs, image, output_type="latent", **settings).images.numpy()
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.img2img("ab a", image, seed=7, **settings).latents
    compare(ours, wanted)


def test_the_deviation_brought_back(saved):
    folder, theirs = saved("xl")
    settings = {"num_inference_steps": 3, "guidance_scale": 6.0, "guidance_rescale": 0.7}
    wanted = edited(theirs, picture(*SIZE), output_type="latent", **settings).images.numpy()
    with latentrt.load(folder, device="cpu") as pipeline:
        compare(pipeline.img2img("ab a", picture(*SIZE), seed=7, **settings).latents, wanted)


def test_odd_sizes_and_pictures(saved):
    """41 x 55 is rounded down to latents of 10 x 13, whose downsampled halves do not meet."""
    folder, theirs = saved("pix2pix")
    image, settings = picture(41, 55), {"num_inference_steps": 3, "guidance_scale": 4.0}
    wanted = edited(theirs, image, **settings).images[0]
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.img2img("ab a", image, seed=7, **settings).images[0]
    assert ours.size == wanted.size == (40, 52)
    levels = np.abs(np.asarray(ours).astype(int) - np.asarray(wanted))
    assert np.mean(levels <= 1) >= 0.999 and np.asarray(wanted).std() > 1


@pytest.mark.parametrize("kind", ["pix2pix", SLOW("xl")])
def test_batches(saved, kind):
    folder, theirs = saved(kind)
    image, settings = (
        picture(*SIZE),
        {"num_inference_steps": 3, "guidance_scale": 4.0, "negative_prompt": "b"},
    )
    with latentrt.load(folder, device="cpu") as pipeline:
        apart = pipeline.img2img("ab a", image, seed=[7, 8, 2], batch_size=2, **settings)
        together = pipeline.img2img("ab a", image, seed=7, num_images=2, **settings)
    for seed, count, result in (([7, 8, 2], 3, apart), (7, 2, together)):
        wanted = edited(theirs, image, seed, num_images_per_prompt=count, output_type="latent", **settings)
        compare(result.latents, wanted.images.numpy())
