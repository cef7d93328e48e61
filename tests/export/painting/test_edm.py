"""Models with the preconditioning of Karras et al. (Playground v2.5, CosXL) against diffusers, in small widths."""

import functools
import json

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_xl
from PIL import Image

import latentrt

SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
STATISTICS = {
    "scaling_factor": 0.5,
    "latents_mean": [-1.6574, 1.886, -1.383, 2.5155],
    "latents_std": [8.4927, 5.9022, 6.5498, 5.2299],
}
MODELS = {
    # name: scheduler, its options as published, what the autoencoder's config says besides, whether zeros stand for the
    # negative prompt
    "playground": (
        "EDMDPMSolverMultistepScheduler",
        {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "rho": 7.0, "prediction_type": "epsilon"},
        STATISTICS, False,
    ),
    "cosxl": (
        "EDMEulerScheduler",
        {"sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction"},
        {}, True,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    kept = {}

    def make(name):
        if name not in kept:
            scheduler, options, vae, zeros = MODELS[name]
            folder = kept[name] = tmp_path_factory.mktemp("models") / name
            made = make_xl(force_zeros_for_empty_prompt=zeros)
            made.scheduler = getattr(diffusers, scheduler)(**options)
            made.save_pretrained(folder)
            path = folder / "vae" / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | vae))
        return kept[name]

    return make


def compare(folder, run, steps, sampler=None, pictures=(), swap=None, **given):
    kinds = {
        "txt2img": diffusers.StableDiffusionXLPipeline,
        "img2img": diffusers.StableDiffusionXLImg2ImgPipeline,
    }
    theirs = kinds[run].from_pretrained(folder, local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    if swap is not None:
        theirs.scheduler = getattr(diffusers, swap).from_config(theirs.scheduler.config)
    settings = {"num_inference_steps": steps, "guidance_scale": 3.0, **given}
    if run == "txt2img":
        settings |= {"width": 80, "height": 64}
    more = {} if run == "txt2img" else {"image": pictures[0]}
    kept = []
    wanted = theirs(
        "ab a", generator=torch.Generator("cpu").manual_seed(7), **settings, **more,
        callback_on_step_end=lambda pipeline, step, timestep, values: kept.append(values["latents"].numpy()) or values,
    ).images[0]  # fmt: skip
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = getattr(pipeline, run)("ab a", *pictures, seed=7, sampler=sampler, **settings)
    assert np.abs(kept[-1]).max() > 0.5
    assert np.abs(ours.latents - kept[-1]).max() < 1e-3 * max(1, np.abs(kept[-1]).max())
    levels = np.abs(np.asarray(ours.images[0]).astype(int) - np.asarray(wanted))
    assert np.mean(levels <= 1) >= 0.999 and np.asarray(wanted).std() > 1
    return ours


@pytest.mark.parametrize(
    ("name", "steps"), [SLOW("playground", 4), ("cosxl", 4), SLOW("playground", 20), SLOW("cosxl", 20)]
)
def test_txt2img(saved, name, steps):
    compare(saved(name), "txt2img", steps)


@pytest.mark.parametrize(
    ("name", "steps"), [("playground", 5), SLOW("cosxl", 5), SLOW("playground", 20), SLOW("cosxl", 20)]
)
def test_img2img(saved, name, steps):
    compare(saved(name), "img2img", steps, pictures=[PICTURE], strength=0.6)


@pytest.mark.parametrize(
    ("name", "asked", "swap"),
    [
        ("cosxl", "DPM++ 2M Karras", "EDMDPMSolverMultistepScheduler"),
        SLOW("cosxl", "dpmpp_2m", "EDMDPMSolverMultistepScheduler"),
        ("playground", "euler", "EDMEulerScheduler"),
    ],
)
def test_a_sampler_of_that_name_keeps_the_models_preconditioning(saved, name, asked, swap):
    ours = compare(saved(name), "txt2img", 4, sampler=asked, swap=swap)
    assert ours.parameters[0].sampler.startswith("EDM ")


@pytest.mark.parametrize(
    "asked", ["heun", "EulerDiscreteScheduler", "euler exponential", "euler simple", "ddim"]
)
def test_one_that_would_feed_the_network_something_else_is_refused(saved, asked):
    with pytest.raises(
        latentrt.SettingError,
        match="sampler: .* this model's scheduler, EDMEulerScheduler, .*; expected one of edm_euler, edm_dpmpp_2m",
    ):
        latentrt.load(saved("cosxl"), device="cpu").start_txt2img("a", sampler=asked)
