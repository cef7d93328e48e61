"""Depth models against diffusers, in small widths with random weights and maps that are given."""

import functools

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_text_encoder, make_tokenizer, make_unet, make_vae
from PIL import Image

import latentrt
from latentrt.models import published

SIZE = (48, 40)
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
SD2 = {"in_channels": 5, "use_linear_projection": True, "attention_head_dim": (2, 4, 4)}
SCHEDULERS = {
    "pndm": diffusers.PNDMScheduler.from_config(published.SD2_SCHEDULER),
    "ddim": diffusers.DDIMScheduler.from_config(published.SD2_SCHEDULER),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Makes a folder with a scheduler, once, and gives it with diffusers' pipeline."""
    kept = {}

    def make(key="ddim"):
        if key not in kept:
            folder = tmp_path_factory.mktemp("models") / "depth"
            theirs = diffusers.StableDiffusionDepth2ImgPipeline(
                vae=make_vae(), text_encoder=make_text_encoder(eos_token_id=8), tokenizer=make_tokenizer(),
                unet=make_unet(**SD2), scheduler=SCHEDULERS[key], depth_estimator=None, feature_extractor=None,
            )  # fmt: skip
            theirs.save_pretrained(folder)
            theirs.set_progress_bar_config(disable=True)
            kept[key] = folder, theirs
        return kept[key]

    return make


def picture(width, height, seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def depths(width, height):
    """As MiDaS gives them: of no particular range."""
    return np.random.default_rng(5).uniform(-300, 2700, (height, width)).astype(np.float32)


def painted(theirs, image, depth, seed=7, **settings):
    seeds = seed if isinstance(seed, list) else [seed]
    generators = [torch.Generator("cpu").manual_seed(one) for one in seeds]
    generator = generators if isinstance(seed, list) else generators[0]
    return theirs(
        "ab a", image=image, depth_map=torch.tensor(depth)[None], generator=generator, **settings
    ).images


def compare(ours, wanted):
    assert ours.shape == wanted.shape
    assert np.abs(wanted).max() > 0.5
    assert np.abs(ours - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())


GIVEN = {
    "halfway": {"strength": 0.5, "num_inference_steps": 8, "negative_prompt": "b", "guidance_scale": 6.0},
    "all the way": {"strength": 1.0, "num_inference_steps": 4, "guidance_scale": 3.0},
    "unguided": {"strength": 0.8, "num_inference_steps": 5, "guidance_scale": 1.0},
    "20 steps": {"strength": 0.9, "num_inference_steps": 20, "guidance_scale": 7.5},
}
QUICK = {("ddim", "halfway"), ("pndm", "all the way")}
CASES = [(key, given) for key in SCHEDULERS for given in GIVEN]


@pytest.mark.parametrize(("scheduler", "given"), [case if case in QUICK else SLOW(*case) for case in CASES])
def test_latents(saved, scheduler, given):
    folder, theirs = saved(scheduler)
    image, depth, settings = picture(*SIZE), depths(*SIZE), GIVEN[given]
    wanted = painted(theirs, image, depth, output_type="latent", **settings).numpy()
    with latentrt.load(folder, device="cpu") as pipeline:
        compare(pipeline.img2img("ab a", image, depth=depth, seed=7, **settings).latents, wanted)


def test_odd_sizes_and_pictures(saved):
    """41 x 55 is brought to latents of 10 x 13; the map is of twice that picture's size."""
    folder, theirs = saved()
    image, depth = picture(41, 55), depths(82, 110)
    settings = {"num_inference_steps": 4, "strength": 0.75, "guidance_scale": 4.0}
    wanted = painted(theirs, image, depth, **settings)[0]
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.img2img("ab a", image, depth=depth, seed=7, **settings).images[0]
    assert ours.size == wanted.size == (40, 52)
    levels = np.abs(np.asarray(ours).astype(int) - np.asarray(wanted))
    assert np.mean(levels <= 1) >= 0.999 and np.asarray(wanted).std() > 1


@pytest.mark.filterwarnings("ignore:You have passed 2 text prompts:FutureWarning")
def test_a_batch(saved):
    folder, theirs = saved()
    settings = {"num_inference_steps": 4, "strength": 0.5, "negative_prompt": "b"}
    image, depth = picture(*SIZE), depths(*SIZE)
    wanted = painted(theirs, image, depth, 7, num_images_per_prompt=2, output_type="latent", **settings)
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.img2img("ab a", image, depth=depth, seed=7, num_images=2, **settings).latents
    compare(ours, wanted.numpy())
