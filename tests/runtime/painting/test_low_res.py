"""Enlarging a picture: what the UNet is shown and told, what a picture's text says, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from kinds import KINDS
from PIL import Image
from random_models import change
from single_files import write_kind

import latentrt
from latentrt.cli import main
from latentrt.engine import machine
from latentrt.errors import InputError, MemoryShortageError, ModelError, SettingError
from latentrt.models.layout import LOW_RES_CONFIG
from latentrt.models.needed import Needed
from latentrt.painting.budget import Plan, predict
from latentrt.pictures.metadata import format_parameters

PICTURE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (8, 16, 3), np.uint8))
QUICK = {"num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def enlarging(random_x4):
    with latentrt.load(random_x4, device="cpu") as pipeline:
        yield pipeline


@pytest.fixture
def fed(enlarging, monkeypatch):
    """What the UNet is fed from now on."""
    seen, runner = [], enlarging.runners["unet"]
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda feeds, *more: seen.append(dict(feeds)) or run(feeds, *more))
    return seen


def test_the_unet_is_shown_the_picture_under_noise_and_told_how_much(enlarging, fed):
    """x√ᾱ + ε√(1 − ᾱ), arXiv:2006.11239 eq. 4; ᾱ of a scaled linear schedule from 0.0001 to 0.02."""
    enlarging.upscale("a", PICTURE, noise_level=120, guidance_scale=3, **QUICK)
    betas = np.linspace(0.0001**0.5, 0.02**0.5, 1000) ** 2
    left = np.prod(1 - betas[:121])
    pixels = np.asarray(PICTURE, np.float64).transpose(2, 0, 1) / 127.5 - 1
    noise = np.asarray(latentrt.noise.TorchGenerator(3).randn((1, 3, 8, 16)), np.float64)
    wanted = np.sqrt(left) * pixels + np.sqrt(1 - left) * noise
    assert len(fed) == 2
    for feeds in fed:
        assert feeds["sample"].shape == (2, 7, 8, 16)
        np.testing.assert_allclose(feeds["sample"][:, 4:], wanted.repeat(2, 0), atol=2e-5)
        np.testing.assert_array_equal(feeds["class_labels"], [120, 120])


def test_each_of_several_seeds_draws_its_own(enlarging, fed):
    both = enlarging.upscale("a", PICTURE, seed=[3, 4], num_inference_steps=2)
    shown = fed[0]["sample"][2:, 4:]
    assert np.abs(shown[0] - shown[1]).max() > 0.1
    alone = enlarging.upscale("a", PICTURE, seed=[4], num_inference_steps=2)
    np.testing.assert_allclose(both.latents[1:], alone.latents, atol=1e-5)


def test_the_picture_says_so_and_only_upscale_takes_it_back(enlarging, random_model):
    result = enlarging.upscale("a red ring", PICTURE, noise_level=7, **QUICK)
    factor = enlarging.autoencoder.factor
    assert result.images[0].size == (
        PICTURE.width * factor,
        PICTURE.height * factor,
    )
    text = format_parameters(result.parameters[0])
    assert "Low-res noise level: 7" in text and result.parameters[0].told["noise_level"] == 7
    recalled = latentrt.recall(text, run="upscale")
    assert recalled["noise_level"] == 7
    again = enlarging.upscale(recalled.pop("prompt"), PICTURE, **recalled)
    np.testing.assert_array_equal(again.latents, result.latents)
    for run in ("txt2img", "img2img", "inpaint"):
        with pytest.raises(InputError, match="was enlarged from a smaller picture"):
            latentrt.recall(text, run=run)
    with latentrt.load(random_model, device="cpu") as other:
        painted = other.img2img("a", PICTURE.resize((32, 32)), **QUICK)
    with pytest.raises(InputError, match="was not enlarged by an upscaler"):
        latentrt.recall(format_parameters(painted.parameters[0]), run="upscale")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_level": 301}, "noise_level: expected 0 to 300, which random-x4 knows, got 301"),
        ({"noise_level": -1}, "noise_level: expected a whole number of 0 or more"),
        ({"noise_level": 2.5}, "noise_level: expected a whole number"),
        ({"strength": 0.5}, "strength: upscale has no such setting"),
        ({"like": "a1111"}, "like: enlarging pictures is not computed as a1111 does"),
        ({"width": 33}, "width: expected a multiple of"),
    ],
)
def test_what_cannot_be_is_refused(enlarging, settings, message):
    with pytest.raises(SettingError, match=message):
        enlarging.start_upscale("a", PICTURE, **{**QUICK, **settings})


def test_of_other_models_none_enlarges_and_this_does_nothing_else(enlarging, random_model, random_edit):
    for model, made in ((random_model, "painting from noise"), (random_edit, "editing pictures")):
        wanted = f"which upscale cannot drive: it is made for {made}. Use .*, or the x4 upscaler"
        with pytest.raises(ModelError, match=wanted):
            latentrt.load(model, device="cpu").start_upscale("a", PICTURE)
    with pytest.raises(ModelError, match=r"takes 7 channels, which txt2img cannot drive: .* Use upscale"):
        enlarging.start_txt2img("a", **QUICK)


def test_what_its_files_say_of_the_small_picture_counts(random_x4, tmp_path):
    copy = shutil.copytree(random_x4, tmp_path / "x4")
    change(copy / "model_index.json", max_noise_level=900)
    with pytest.raises(SettingError, match="expected 0 to 399, which x4 knows"):  # rows of its table
        latentrt.load(copy, device="cpu").start_upscale("a", PICTURE, noise_level=400)
    change(copy / LOW_RES_CONFIG, num_train_timesteps=50)
    with pytest.raises(SettingError, match="expected 0 to 49, which x4 knows"):
        latentrt.load(copy, device="cpu").start_upscale("a", PICTURE, noise_level=50)
    change(copy / LOW_RES_CONFIG, beta_end="much")
    with pytest.raises(ModelError, match=r"low_res_scheduler.scheduler_config\.json: beta_end"):
        latentrt.load(copy, device="cpu").start_upscale("a", PICTURE)
    change(copy / LOW_RES_CONFIG, _class_name="EulerDiscreteScheduler", beta_end=0.02)
    with pytest.raises(
        ModelError, match=r"_class_name is 'EulerDiscreteScheduler'; expected 'DDPMScheduler'"
    ):
        latentrt.load(copy, device="cpu").start_upscale("a", PICTURE)
    shutil.rmtree(copy / "low_res_scheduler")
    with pytest.raises(ModelError, match=r"low_res_scheduler.scheduler_config\.json"):
        latentrt.load(copy, device="cpu")


def test_a_class_that_nothing_is_known_of_is_refused(random_x4, tmp_path):
    copy = shutil.copytree(random_x4, tmp_path / "classes")
    change(copy / "unet" / "config.json", in_channels=4)
    with pytest.raises(ModelError, match=r"told a class \(num_class_embeds\)"):
        latentrt.load(copy, device="cpu").start_txt2img("a", **QUICK)


@pytest.fixture
def published(tmp_path):
    """At full size, without weights."""
    return latentrt.load(write_kind(tmp_path / "x4.safetensors", KINDS["x4"]), device="cpu")


def test_tiles_are_of_as_many_latents_as_those_of_other_models(published):
    """Its autoencoder attends to four times as many latents in a picture of the same size."""
    tiling = published.autoencoder.tiling
    assert tiling(512, 512) is None and tiling(516, 512).size == 64
    assert tiling(2048, 2048, "off") is None


def test_its_memory_is_predicted(published, monkeypatch):
    """Of 1024x1024, the UNet on 256x256 included; decoded whole, the scores of one attention alone would be 17 GB."""
    monkeypatch.setattr(machine, "available", lambda: 10**12)
    small = Image.new("RGB", (256, 256))
    generation = published.start_upscale("a", small)
    assert 3e9 < predict(generation._parts, generation._passes, Plan(True)).total < 6e9
    assert predict(generation._parts, generation._passes, Plan(True, "off")).total > 34e9
    monkeypatch.setattr(machine, "available", lambda: 3_000_000_000)
    with pytest.raises(MemoryShortageError, match="GB at its peak, in unet"):
        published.start_upscale("a", small)


@pytest.mark.parametrize("said", [None, 0.18215])
def test_another_autoencoder_is_scaled_as_its_own(random_x4, tmp_path, said):
    shutil.copytree(random_x4 / "vae", tmp_path / "vae")
    change(tmp_path / "vae" / "config.json", scaling_factor=said)
    with latentrt.load(random_x4, device="cpu", vae=tmp_path / "vae") as pipeline:
        assert pipeline.autoencoder.scaling_factor == 0.08333
        assert pipeline.model.components["vae_decoder"].fp32_only


def test_its_second_scheduler_is_downloaded_and_missed():
    names = ["unet/config.json", "low_res_scheduler/scheduler_config.json", "low_res_scheduler/other.json"]
    index = {"low_res_scheduler": ["diffusers", "DDPMScheduler"]}
    assert Needed("x4", names, index).small == sorted(names[:2])
    assert not Needed("x4", names, index).lacking
    assert Needed("x4", names[:1], index).lacking == [names[1]]


def test_the_command(random_x4, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PICTURE.save("in.png")
    model = ["--model", str(random_x4), "--device", "cpu", "--image", "in.png"]
    words = ["upscale", "a ring", *model, "--steps", "1", "--noise-level", "9", "--seed", "4"]
    assert main([*words, "--out", "out.png", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["noise_level"] == 9
    assert "Low-res noise level: 9" in str(latentrt.read_parameters("out.png"))
    assert main(["upscale", "--from", "out.png", *model, "--out", "again.png", "--quiet"]) == 0
    with Image.open("out.png") as one, Image.open("again.png") as other:
        assert one.tobytes() == other.tobytes()
    assert main(["info", "out.png"]) == 0
    assert "noise_level: 9" in (said := capsys.readouterr().out) and "was enlarged from a smaller" in said
    assert main([*words[:-4], "--noise-level", "301", "--quiet"]) == 2
    assert "--noise-level: expected 0 to 300" in capsys.readouterr().err
    assert main(["generate", "--from", "out.png", "--quiet"]) == 2
    assert "was enlarged from a smaller picture" in capsys.readouterr().err
    assert main(["upscale", "a", "--image", "in.png", "--model", "demo", "--quiet"]) == 1
    assert "or the x4 upscaler" in capsys.readouterr().err
