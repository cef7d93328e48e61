"""A model that edits pictures, with random weights: what it takes, what it refuses, and what its pictures tell."""

import numpy as np
import pytest
from PIL import Image

import latentrt
from latentrt import ModelError, SettingError
from latentrt.cli import main
from latentrt.painting.denoiser import Denoiser
from latentrt.painting.guidance import make_guidance
from latentrt.pictures.metadata import format_parameters
from latentrt.schedule import Evaluation
from latentrt.schedule.prediction import Prediction

PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 256, (64, 72, 3), np.uint8))
QUICK = {"num_inference_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def editing(random_edit):
    with latentrt.load(random_edit, device="cpu") as pipeline:
        yield pipeline


def test_an_edit_tells_how_close_it_stays(editing):
    result = editing.img2img("a red ring", PICTURE, **QUICK)
    text = format_parameters(result.parameters[0])
    assert "Image CFG scale: 1.5" in text and "Denoising strength" not in text
    assert result.parameters[0].told["image_guidance_scale"] == 1.5
    closer = editing.img2img("a red ring", PICTURE, image_guidance_scale=4, **QUICK)
    assert "Image CFG scale: 4" in format_parameters(closer.parameters[0])
    assert np.abs(closer.latents - result.latents).max() > 1e-3
    with pytest.raises(latentrt.InputError, match="was painted over another picture"):
        latentrt.recall(text)


def test_all_steps_are_run_from_noise_alone(editing):
    steps = list(editing.start_img2img("a", PICTURE, num_inference_steps=3, seed=3))
    assert [step.index for step in steps] == [0, 1, 2]
    other = PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    noise = [next(editing.start_img2img("a", one, **QUICK, guidance_scale=1)) for one in (PICTURE, other)]
    assert noise[0].sigma == noise[1].sigma and np.abs(noise[0].latents - noise[1].latents).max() > 1e-4


@pytest.mark.parametrize(
    ("run", "settings", "error", "message"),
    [
        ("img2img", {"strength": 0.5}, SettingError, "strength: does nothing here: random-edit edits pictures"),
        ("img2img", {"image_guidance_scale": 0.9}, SettingError, "image_guidance_scale: expected a number of 1 or"),
        (
            "img2img", {"image_guidance_scale": 2, "guidance_scale": 1}, SettingError,
            "image_guidance_scale: does nothing without guidance; expected a guidance_scale above 1",
        ),
        ("txt2img", {"image_guidance_scale": 2}, SettingError, "txt2img has no such setting; it is of img2img alone"),
        ("txt2img", {}, ModelError, "takes 8 channels, which txt2img cannot drive: .* editing pictures. Use img2img"),
        ("inpaint", {}, ModelError, "takes 8 channels, which inpaint cannot drive: .* editing pictures. Use img2img"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(editing, run, settings, error, message):
    pictures = {"txt2img": [], "img2img": [PICTURE], "inpaint": [PICTURE, Image.new("L", PICTURE.size, 255)]}
    with pytest.raises(error, match=message):
        getattr(editing, f"start_{run}")("a", *pictures[run], **QUICK, **settings)


def test_a_model_that_edits_none_refuses_its_setting(random_model):
    with pytest.raises(
        SettingError, match="image_guidance_scale: does nothing here: random-model edits no pictures"
    ):
        latentrt.load(random_model, device="cpu").start_img2img("a", PICTURE, image_guidance_scale=2)


def test_what_its_maker_advises_counts(random_edit, tmp_path, capsys):
    (random_edit / "generation_config.json").write_text(
        '{"image_guidance_scale": 3.5, "guidance_rescale": 0.5}'
    )
    try:
        request = latentrt.load(random_edit, device="cpu").start_img2img("a", PICTURE, **QUICK).request
        assert request.guidance.image_scale == 3.5 and request.guidance.rescale == 0.5
        assert main(["info", str(random_edit)]) == 0
        assert "guidance_rescale 0.5, image_guidance_scale 3.5" in capsys.readouterr().out
    finally:
        (random_edit / "generation_config.json").unlink()


@pytest.mark.parametrize(
    ("scale", "image_scale", "asked"), [(4, 1.5, 3), (4, 1, 2), (1, 1.5, 1), (0, 1.5, 1)]
)
def test_each_step_asks_for_what_guidance_compares(scale, image_scale, asked):
    """u + s_I (I − u) + s_T (T − I), arXiv:2211.09800 eq. 3, of a network that tells what it is fed."""
    x, picture, seen = np.full((2, 4, 3, 3), 2.0, np.float32), np.full((2, 4, 3, 3), 5.0, np.float32), []

    def unet(feeds):
        seen.append(len(feeds["sample"]))
        sample, told = feeds["sample"], feeds["encoder_hidden_states"].reshape(-1, 1, 1, 1)
        return {"out_sample": sample[:, :4] + 10 * sample[:, 4:] + told}

    prompt, negative = (
        {"encoder_hidden_states": np.full((2, 1, 1), value, np.float32)} for value in (0.5, 0.25)
    )
    guidance = make_guidance(float(scale), 1, image_scale=image_scale)
    prediction = Prediction("sample", "ve")
    denoise = Denoiser(unet, prompt, negative, guidance, prediction, picture)
    denoised = denoise(x, Evaluation(0, 1.0, 10.0, 0.0))
    blind, shown, both = 2 + 0.25, 2 + 50 + 0.25, 2 + 50 + 0.5
    wanted = both if scale <= 1 else blind + image_scale * (shown - blind) + scale * (both - shown)
    np.testing.assert_allclose(denoised, wanted, rtol=1e-6)
    assert seen == [2 * asked]


def test_the_command(random_edit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PICTURE.save("in.png")
    words = [
        "img2img",
        "a ring",
        "--image",
        "in.png",
        "--model",
        str(random_edit),
        "--device",
        "cpu",
        "--steps",
        "2",
    ]
    assert main([*words, "--image-guidance-scale", "2", "--seed", "4", "--out", "out.png", "--quiet"]) == 0
    assert "Image CFG scale: 2" in str(latentrt.read_parameters("out.png"))
    assert main([*words, "--strength", "0.5", "--quiet"]) == 2
    assert (
        "--strength: does nothing here" in (said := capsys.readouterr().err)
        and "--image-guidance-scale" in said
    )
    assert main(["generate", "a", "--model", str(random_edit), "--quiet"]) == 1
