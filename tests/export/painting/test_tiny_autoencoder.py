"""A model whose autoencoder is an AutoencoderTiny against diffusers, in small widths with random weights."""

import json

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_text_encoder, make_tokenizer, make_unet, make_vae, make_xl, randomize
from PIL import Image

import latentrt

SETTINGS = {"num_inference_steps": 4, "guidance_scale": 4.0, "negative_prompt": "b"}
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
SIZE = {"height": 64, "width": 80}


def make_tiny(**config):
    """Three levels, as the small AutoencoderKL has, so that latents have the same size."""
    torch.manual_seed(0)
    widths = {f"{half}_block_out_channels": (16, 16, 16) for half in ("encoder", "decoder")}
    blocks = {"num_encoder_blocks": (1, 2, 2), "num_decoder_blocks": (2, 2, 1)}
    return randomize(diffusers.AutoencoderTiny(**{**widths, **blocks, **config}), 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    diffusers.StableDiffusionPipeline(
        vae=make_vae(),
        text_encoder=make_text_encoder(eos_token_id=8),
        tokenizer=make_tokenizer(),
        unet=make_unet(),
        scheduler=diffusers.EulerAncestralDiscreteScheduler(beta_schedule="scaled_linear", steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(root / "sd")
    make_xl().save_pretrained(root / "xl")
    for name in ("sd", "xl"):
        for path in (root / name / "vae").iterdir():
            path.unlink()
        make_tiny().save_pretrained(root / name / "vae")
        index = root / name / "model_index.json"
        said = json.loads(index.read_text())
        index.write_text(json.dumps({**said, "vae": ["diffusers", "AutoencoderTiny"]}))
    return root


PIPELINES = {
    ("sd", "txt2img"): diffusers.StableDiffusionPipeline,
    ("sd", "img2img"): diffusers.StableDiffusionImg2ImgPipeline,
    ("sd", "inpaint"): diffusers.StableDiffusionInpaintPipeline,
    ("xl", "txt2img"): diffusers.StableDiffusionXLPipeline,
    ("xl", "img2img"): diffusers.StableDiffusionXLImg2ImgPipeline,
    ("xl", "inpaint"): diffusers.StableDiffusionXLInpaintPipeline,
}


def asked(run):
    """What both take, and what each takes besides: theirs, ours."""
    mask = np.zeros((64, 80), np.uint8)
    mask[16:48, 24:64] = 255
    mask = Image.fromarray(mask)
    if run == "txt2img":
        return SIZE, [], {}, SIZE
    if run == "img2img":
        return {"image": PICTURE, "strength": 0.75}, [PICTURE], {}, {"strength": 0.75}
    theirs = {"image": PICTURE, "mask_image": mask, "strength": 0.75, **SIZE}
    return theirs, [PICTURE, mask], {}, {"strength": 0.75, "mask_blur": 0, "overlay": False}


@pytest.mark.parametrize(
    ("model", "run", "seeds"),
    [
        # Of SDXL's kind, what differs from the others is how pictures are encoded.
        pytest.param(*case, seeds, marks=() if seeds == 7 and case != ("xl", "inpaint") else pytest.mark.slow)
        for case in PIPELINES
        for seeds in (7, [7, 9])
    ],
)
def test_a_run(folders, model, run, seeds):
    theirs = PIPELINES[model, run].from_pretrained(folders / model, local_files_only=True)
    assert isinstance(theirs.vae, diffusers.AutoencoderTiny)
    theirs.set_progress_bar_config(disable=True)
    given, pictures, _, settings = asked(run)
    several = seeds if isinstance(seeds, list) else [seeds]
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in several]
    kept = []

    def keep(pipeline, step, timestep, values):
        kept.append(values["latents"].numpy())
        return values

    wanted = theirs(
        "ab a", generator=generators if isinstance(seeds, list) else generators[0], callback_on_step_end=keep,
        num_images_per_prompt=len(several), **given, **SETTINGS,
    ).images  # fmt: skip
    with latentrt.load(folders / model, device="cpu") as pipeline:
        result = getattr(pipeline, run)("ab a", *pictures, seed=seeds, **settings, **SETTINGS)
    assert np.abs(kept[-1]).max() > 0.5
    assert np.abs(result.latents - kept[-1]).max() < 1e-3 * max(1, np.abs(kept[-1]).max())
    for ours, other in zip(result.images, wanted, strict=True):
        levels = np.abs(np.asarray(ours).astype(int) - np.asarray(other))
        assert np.mean(levels <= 1) >= 0.999 and np.asarray(other).std() > 1


def test_latents_have_no_distribution(folders):
    with latentrt.load(folders / "sd", device="cpu") as pipeline:
        assert (pipeline.model.vae_scale_factor, pipeline.model.scaling_factor) == (4, 1.0)
        mean = pipeline.encode(PICTURE)
        np.testing.assert_array_equal(pipeline.encode(PICTURE, seed=5), mean)
    with torch.inference_mode():
        pixels = torch.tensor(np.asarray(PICTURE, np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        wanted = make_tiny().encode(pixels).latents.numpy()
    assert np.abs(mean - wanted).max() < 1e-4 * np.abs(wanted).max()
