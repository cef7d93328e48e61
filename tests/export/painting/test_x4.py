"""The x4 upscaler against diffusers, in small widths with random weights."""

import functools
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_text_encoder, make_tokenizer, make_unet, make_vae
from PIL import Image

import latentrt
from latentrt.errors import ModelError, SettingError
from latentrt.models import published

SIZE = (24, 20)
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
UNET = {
    "in_channels": 7, "num_class_embeds": 1000, "block_out_channels": (32, 64, 48), "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "only_cross_attention": (True, True, False), "use_linear_projection": True,
}  # fmt: skip
SCHEDULERS = {
    "ddim": diffusers.DDIMScheduler.from_config(published.X4_SCHEDULER),
    "euler": diffusers.EulerDiscreteScheduler.from_config(published.X4_SCHEDULER),
    "pndm": diffusers.PNDMScheduler.from_config({**published.X4_SCHEDULER, "skip_prk_steps": True}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Makes a folder with a scheduler, once, and gives it with the pipeline that diffusers loads of it."""
    kept = {}

    def make(key="ddim"):
        if key not in kept:
            folder = tmp_path_factory.mktemp("models") / "x4"
            made = diffusers.StableDiffusionUpscalePipeline(
                vae=make_vae(scaling_factor=0.08333), text_encoder=make_text_encoder(eos_token_id=8),
                tokenizer=make_tokenizer(), unet=make_unet(**UNET), scheduler=SCHEDULERS[key],
                low_res_scheduler=diffusers.DDPMScheduler.from_config(published.LOW_RES_SCHEDULER),
            )  # fmt: skip
            made.save_pretrained(folder)
            theirs = diffusers.StableDiffusionUpscalePipeline.from_pretrained(folder, local_files_only=True)
            theirs.set_progress_bar_config(disable=True)
            kept[key] = folder, theirs
        return kept[key]

    return make


def picture(width, height, seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def enlarged(theirs, image, seed=7, **settings):
    seeds = seed if isinstance(seed, list) else [seed]
    generators = [torch.Generator("cpu").manual_seed(one) for one in seeds]
    return theirs(
        "ab a", image=image, generator=generators if isinstance(seed, list) else generators[0], **settings
    ).images


def compare(ours, wanted):
    assert ours.shape == wanted.shape
    assert np.abs(wanted).max() > 0.5
    assert np.abs(ours - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())


GIVEN = {
    "as it is": {"negative_prompt": "b"},
    "much noise": {"noise_level": 350, "guidance_scale": 4.0},
    "hardly any, unguided": {"noise_level": 0, "guidance_scale": 1.0},
    "20 steps": {"num_inference_steps": 20, "noise_level": 100},
}


@pytest.mark.parametrize(
    ("scheduler", "given"),
    [
        ("ddim", "as it is"),
        ("euler", "much noise"),
        SLOW("pndm", "as it is"),
        *(SLOW("ddim", given) for given in GIVEN if given != "as it is"),
        SLOW("euler", "20 steps"),
    ],
)
def test_latents(saved, scheduler, given):
    folder, theirs = saved(scheduler)
    settings = {"num_inference_steps": 4, **GIVEN[given]}
    image = picture(*SIZE)
    wanted = enlarged(theirs, image, output_type="latent", **settings).numpy()
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.upscale("ab a", image, seed=7, **settings).latents
    compare(ours, wanted)


def test_odd_sizes_and_pictures(saved):
    """27 x 22 is brought to 24 x 20, whose latents are halved to 12 x 10 and 6 x 5."""
    folder, theirs = saved()
    image, settings = picture(27, 22), {"num_inference_steps": 3, "guidance_scale": 4.0}
    wanted = enlarged(theirs, image, **settings)[0]
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.upscale("ab a", image, seed=7, **settings).images[0]
        whole = pipeline.upscale("ab a", image, seed=7, width=27 * 4, height=22 * 4, **settings).images[0]
    assert ours.size == wanted.size == (96, 80) and whole.size == (108, 88)
    levels = np.abs(np.asarray(ours).astype(int) - np.asarray(wanted))
    assert np.mean(levels <= 1) >= 0.999 and np.asarray(wanted).std() > 1


def test_a_batch_from_one_stream(saved):
    folder, theirs = saved()
    settings = {"num_inference_steps": 3, "negative_prompt": "b"}
    wanted = enlarged(theirs, picture(*SIZE), 7, num_images_per_prompt=2, output_type="latent", **settings)
    with latentrt.load(folder, device="cpu") as pipeline:
        together = pipeline.upscale("ab a", picture(*SIZE), seed=7, num_images=2, **settings)
        apart = pipeline.upscale("ab a", picture(*SIZE), seed=[7, 8], **settings)
        alone = pipeline.upscale("ab a", picture(*SIZE), seed=[8], **settings).latents
    compare(together.latents, wanted.numpy())
    # diffusers draws the small picture's noise from the first generator for all; here each is as it is alone.
    compare(apart.latents[1:], alone)


@pytest.mark.parametrize("said", [None, SLOW(0.18215)])
def test_the_autoencoder_s_scaling_is_what_the_pipeline_says(saved, said, tmp_path):
    """A folder older than the setting lacks it; both paint as if it were there."""
    folder, theirs = saved()
    shutil.copytree(folder, tmp_path / "x4")
    config = tmp_path / "x4" / "vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": said}))
    settings = {"num_inference_steps": 1}
    wanted = enlarged(theirs, picture(*SIZE), **settings)[0]
    with latentrt.load(tmp_path / "x4", device="cpu") as pipeline:
        (repair,) = map(str, pipeline.model.repairs)
        assert "scaling_factor is" in repair and "0.18215; taken for 0.08333, as diffusers'" in repair
        ours = pipeline.upscale("ab a", picture(*SIZE), seed=7, **settings).images[0]
    assert np.mean(np.abs(np.asarray(ours).astype(int) - np.asarray(wanted)) <= 1) >= 0.999


def test_what_cannot_be_is_refused(saved):
    folder, _ = saved()
    with latentrt.load(folder, device="cpu") as pipeline:
        with pytest.raises(SettingError, match="noise_level: expected 0 to 350, which x4 knows, got 351"):
            pipeline.start_upscale("a", picture(*SIZE), noise_level=351)
        with pytest.raises(SettingError, match="width: expected a multiple of 4, got 90"):
            pipeline.start_upscale("a", picture(*SIZE), width=90)
        with pytest.raises(SettingError, match="like: enlarging pictures is not computed as comfyui does"):
            pipeline.start_upscale("a", picture(*SIZE), like="comfyui")
        with pytest.raises(SettingError, match="strength: upscale has no such setting"):
            pipeline.start_upscale("a", picture(*SIZE), strength=0.5)
        with pytest.raises(
            ModelError, match=r"txt2img cannot drive: it is made for enlarging .* Use upscale"
        ):
            pipeline.start_txt2img("a")
        with pytest.raises(
            ModelError, match=r"img2img cannot drive: it is made for enlarging .* Use upscale"
        ):
            pipeline.start_img2img("a", picture(*SIZE))
