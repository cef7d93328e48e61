"""Previews: colours, families, TAESD, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from random_weights import random_weights
from watch import Watch

import latentrt
from latentrt import Fast
from latentrt.errors import InputError, ModelError, SettingError
from latentrt.models.safetensors import write_safetensors
from latentrt.networks import build
from latentrt.painting.budget import Plan, _calls
from latentrt.painting.preview import LinearPreview, make_preview

CONFIG = {"_class_name": "AutoencoderTiny", "latent_channels": 4, "scaling_factor": 1.0}


@pytest.fixture(scope="module")
def taesd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taesd")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    graph = build("taesd_decoder", CONFIG)
    tensors = random_weights(np.random.default_rng(0), graph.parameters)
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", tensors)
    return folder


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu", dtype="fp32") as pipeline:
        yield pipeline


def test_the_linear_map_is_a_product_and_a_sum():
    factors = np.array([[0.5, 0, 0], [0, -0.5, 0.25]], np.float32)
    preview = LinearPreview(factors, np.array([0, 0.5, -1], np.float32), 8)
    latents = np.ones((2, 2, 3, 4), np.float32)
    pictures = preview(latents)
    assert [picture.size for picture in pictures] == [(32, 24)] * 2
    # (0.5, 0.0, -0.75) as levels: (1 + x) · 127.5
    assert np.array_equal(np.unique(np.asarray(pictures[1]).reshape(-1, 3), axis=0), [[191, 128, 32]])


def test_the_demos_preview_resembles_the_picture(demo):
    generation = demo.start_txt2img("a large red heart on a blue background", seed=1, num_inference_steps=6)
    steps = list(generation)
    preview = make_preview(demo.networks)
    shown = np.asarray(preview(steps[-1].denoised)[0], float)
    picture = np.asarray(generation.result().images[0], float)
    assert preview.name == "linear"
    assert shown.shape == picture.shape
    # Measured: 10.3 grey levels, where a flat picture of the mean colour is at 21.1.
    assert np.abs(shown - picture).mean() < 14 < np.abs(picture.mean((0, 1)) - picture).mean()


def test_families_are_told_apart_by_architecture_and_scaling(random_model, tmp_path):
    root = tmp_path / "model"
    shutil.copytree(random_model, root)
    config = json.loads((root / "vae" / "config.json").read_text())
    (root / "vae" / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.5}))
    message = r"of no family whose colours are known here \(demo, sd1\)"
    with latentrt.load(root, device="cpu") as pipeline, pytest.raises(InputError, match=message):
        make_preview(pipeline.networks)


def test_taesd_is_taken_from_its_folder_or_the_models_own(demo, taesd, random_model, tmp_path):
    latents = np.random.default_rng(0).standard_normal((2, 4, 4, 6)).astype(np.float32)
    given = make_preview(demo.networks, taesd)
    pictures = given(latents)
    assert (given.name, [picture.size for picture in pictures]) == ("taesd", [(48, 32)] * 2)
    root = tmp_path / "model"
    shutil.copytree(random_model, root)
    shutil.copytree(taesd, root / "taesd")
    with latentrt.load(root, device="cpu", dtype="fp32") as pipeline:
        own = make_preview(pipeline.networks)
        assert own.name == "taesd"
        assert np.array_equal(np.asarray(own(latents)[1]), np.asarray(pictures[1]))


def test_a_model_whose_autoencoder_is_one_needs_no_other(random_tiny):
    latents = np.random.default_rng(0).standard_normal((1, 4, 4, 6)).astype(np.float32)
    with latentrt.load(random_tiny, device="cpu") as pipeline:
        preview = make_preview(pipeline.networks)
        assert preview.name == "taesd"
        assert np.array_equal(np.asarray(preview(latents)[0]), np.asarray(pipeline.decode(latents)[0]))


@pytest.mark.parametrize("low_memory", [False, True])
def test_a_taesd_is_loaded_once_and_freed_with_the_others(taesd, random_model, monkeypatch, low_memory):
    watch = Watch(monkeypatch)
    pipeline = latentrt.load(random_model, device="cpu", low_memory=low_memory)
    settings = {"seed": 1, "num_inference_steps": 2, "width": 64, "height": 64}
    for step in pipeline.start_txt2img("a ring", **settings):
        make_preview(pipeline.networks, taesd)(step.denoised)
        assert {"taesd_decoder", "unet"} <= set(watch.alive)
    assert watch.made.count("taesd_decoder") == 1
    assert ("taesd_decoder" in watch.alive) is not low_memory
    pipeline.close()
    assert watch.alive == []


def test_what_is_no_taesd_is_refused(demo, taesd, tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        make_preview(demo.networks, tmp_path)
    for change, message in (
        ({"act_fn": "gelu"}, r"config\.json: act_fn is 'gelu'; expected 'relu'"),
        ({"num_decoder_blocks": [3, 1]}, "decoder_block_out_channels is .* expected 2 times the same width"),
        ({"latent_channels": 16}, "decodes latents of 16 channels; those of demo have 4"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
        with pytest.raises(ModelError, match=message):
            make_preview(demo.networks, tmp_path)


QUICK = {"seed": 1, "num_inference_steps": 2, "width": 64, "height": 64, "fast": Fast(decoder="taesd")}


def test_a_recipe_decodes_by_it(taesd, random_model, tmp_path):
    """From the folder given, or the model's own; the latents are those without."""
    root = tmp_path / "model"
    shutil.copytree(random_model, root)
    shutil.copytree(taesd, root / "taesd")
    with (
        latentrt.load(random_model, device="cpu", dtype="fp32", taesd=taesd) as given,
        latentrt.load(root, device="cpu", dtype="fp32") as own,
    ):
        result = given.txt2img("a ring", **QUICK)
        assert np.array_equal(result.latents, given.txt2img("a ring", **{**QUICK, "fast": None}).latents)
        decoded = make_preview(given.networks, taesd)(result.latents)[0]
        assert np.array_equal(np.asarray(result.images[0]), np.asarray(decoded))
        assert np.array_equal(
            np.asarray(result.images[0]), np.asarray(own.txt2img("a ring", **QUICK).images[0])
        )
        assert dict(result.parameters[0].extra)["Fast"] == "decoder=taesd"


def test_a_recipe_without_one_is_refused_before_anything_is_painted(demo, random_tiny):
    with pytest.raises(
        SettingError, match="fast: decoder=taesd: there is none; expected the folder of diffusers'"
    ):
        demo.start_txt2img("a ring", **QUICK)
    with (
        latentrt.load(random_tiny, device="cpu") as pipeline,
        pytest.raises(SettingError, match="decoder=taesd: does nothing here, .*'s own decoder is a TAESD"),
    ):
        pipeline.start_txt2img("a ring", **QUICK)


def test_memory_is_predicted_of_what_decodes(taesd, demo):
    asked = {"num_inference_steps": 1, "seed": 1, "width": 512, "height": 512}

    def calls(fast, pipeline):
        generation = pipeline.start_txt2img("a heart", fast=fast, **asked)
        return {call.component: call for call in _calls(generation._parts, generation._passes, Plan(False))}

    with latentrt.load("demo", device="cpu", dtype="fp32", taesd=taesd) as pipeline:
        decoding = calls("decoder=taesd", pipeline)
        assert "vae_decoder" not in decoding
        (step,) = pipeline.start_txt2img("a heart", **{**asked, "width": 64, "height": 64})
        tiny = decoding["taesd_decoder"]
        assert tiny.shapes == {"latent_sample": (1, *step.denoised.shape[1:2], 64, 64)}
        # Three maps of its 64 channels at the picture's size are alive at once.
        assert tiny.running == pytest.approx(3 * 64 * 512**2 * 4, rel=0.01)
