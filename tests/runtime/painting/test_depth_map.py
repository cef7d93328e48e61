"""Painting after a map of depths: what the UNet is shown, what maps may be, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import latentrt
from latentrt.cli import main
from latentrt.errors import ImageError, InputError, ModelError, SettingError
from latentrt.painting.recall import NotHeeded
from latentrt.pictures.depth_map import load_depth
from latentrt.pictures.metadata import format_parameters

PICTURE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8))
DEPTH = np.random.default_rng(3).integers(0, 60000, (32, 48)).astype(np.uint16)
QUICK = {"num_inference_steps": 4, "strength": 0.5, "seed": 3}


@pytest.fixture(scope="module")
def painting(random_depth):
    with latentrt.load(random_depth, device="cpu") as pipeline:
        yield pipeline


def shown(pipeline, depth, **more):
    return pipeline.start_img2img("a", PICTURE, depth=depth, **{**QUICK, **more}).request.depth.values


def test_only_what_is_near_and_what_is_far_counts(painting):
    values = shown(painting, DEPTH)
    factor = painting.autoencoder.factor
    assert values.shape == (1, 1, 32 // factor, 48 // factor) and values.dtype == np.float32
    assert values.min() == -1 and values.max() == 1
    np.testing.assert_allclose(shown(painting, DEPTH * np.float32(0.01) - 200), values, atol=1e-4)
    np.testing.assert_array_equal(shown(painting, DEPTH[None]), values)


def test_the_unet_is_shown_it_behind_every_latent(painting, monkeypatch):
    seen, runner = [], painting.runners["unet"]
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda feeds, *more: seen.append(feeds["sample"]) or run(feeds, *more))
    painting.img2img("a", PICTURE, depth=DEPTH, guidance_scale=3, num_images=2, **QUICK)
    assert len(seen) == 2
    for sample in seen:
        np.testing.assert_array_equal(sample[:, 4:], shown(painting, DEPTH).repeat(4, 0))


@given(
    values=st.lists(st.integers(0, 65535), min_size=6, max_size=6),
    kind=st.sampled_from(["array", "I;16", "I", "F"]),
)
@settings(max_examples=40, deadline=None)
def test_numbers_are_read_as_they_stand(values, kind):
    array = np.array(values, np.uint16).reshape(2, 3)
    made = {
        "array": lambda: array,
        "I;16": lambda: Image.fromarray(array),
        "I": lambda: Image.fromarray(array.astype(np.int32)),
        "F": lambda: Image.fromarray(array.astype(np.float32)),
    }[kind]()
    np.testing.assert_array_equal(load_depth(made), array.astype(np.float32))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_grey_pictures_of_any_mode_are_the_same_map(mode, tmp_path):
    grey = Image.fromarray(np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6))
    grey.convert(mode).save(tmp_path / "depth.png")
    np.testing.assert_array_equal(load_depth(tmp_path / "depth.png"), np.asarray(grey, np.float32))


@pytest.mark.parametrize(
    ("depth", "error", "message"),
    [
        (None, SettingError, "depth: expected a map of depths, which random-depth paints after; got none"),
        (DEPTH[:, :32], SettingError, "depth: expected the picture's proportions, 48x32, got 32x32"),
        (np.full((32, 48), 7.5), SettingError, "depth: expected far and near, got 7.5 everywhere"),
        (np.full((32, 48), np.nan), InputError, "depth: expected finite numbers"),
        (np.zeros((2, 32, 48)), InputError, "depth: expected numbers"),
        (np.zeros((32, 48), bool), InputError, "depth: expected numbers"),
        (np.zeros((0, 48)), InputError, "depth: expected numbers"),
        (PICTURE, ImageError, "has colours; expected a map of depths in grey, near things bright"),
    ],
)
def test_what_is_no_map_of_this_picture_is_refused(painting, depth, error, message):
    with pytest.raises(error, match=message):
        painting.start_img2img("a", PICTURE, depth=depth, **QUICK)


def test_models_and_runs_without_depths_refuse_it(painting, random_model):
    with pytest.raises(
        SettingError, match="depth: does nothing here: random-model is shown no map of depths"
    ):
        latentrt.load(random_model, device="cpu").start_img2img("a", PICTURE, depth=DEPTH)
    with pytest.raises(
        ModelError, match=r"txt2img cannot drive: it is made for painting after .* Use img2img"
    ):
        painting.start_txt2img("a")
    with pytest.raises(ModelError, match="inpaint cannot drive: it is made for painting after a map"):
        painting.start_inpaint("a", PICTURE, Image.new("L", PICTURE.size, 255), **QUICK)
    with pytest.raises(SettingError, match="like: painting after a map of depths is not computed as comfyui"):
        painting.start_img2img("a", PICTURE, depth=DEPTH, like="comfyui", **QUICK)


def test_the_picture_says_so_and_the_map_is_to_be_given_again(painting):
    result = painting.img2img("a red ring", PICTURE, depth=DEPTH, **QUICK)
    text = format_parameters(result.parameters[0])
    assert "Depth map: 48x32" in text
    with pytest.warns(NotHeeded, match="not heeded here: Depth map"):
        recalled = latentrt.recall(text, run="img2img")
    again = painting.img2img(recalled.pop("prompt"), PICTURE, depth=DEPTH, **recalled)
    np.testing.assert_array_equal(again.latents, result.latents)


def test_the_command(random_depth, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PICTURE.save("in.png")
    Image.fromarray(DEPTH).save("depth.png")
    model = ["--model", str(random_depth), "--device", "cpu", "--image", "in.png", "--quiet"]
    words = ["img2img", "a ring", *model, "--steps", "2", "--strength", "0.5", "--seed", "4"]
    assert main([*words, "--depth", "depth.png", "--out", "out.png"]) == 0
    assert main(["img2img", "--from", "out.png", *model, "--depth", "depth.png", "--out", "again.png"]) == 0
    assert "not heeded" not in capsys.readouterr().err
    with Image.open("out.png") as one, Image.open("again.png") as other:
        assert one.tobytes() == other.tobytes()
    axes = ["--x", "strength=0.5,1", "--steps", "2", "--out", "grid.png"]
    assert main(["sweep", "a ring", *model, *axes, "--depth", "depth.png"]) == 0
    assert main(["sweep", "a ring", *model[:4], "--x", "steps=1,2", "--depth", "depth.png", "--quiet"]) == 2
    assert "--depth: is how far all in a picture is; give that with --image" in capsys.readouterr().err
    assert main(words) == 2
    assert "--depth: expected a map of depths" in capsys.readouterr().err
    assert main([*words, "--depth", "in.png"]) == 1
    assert "in.png: has colours" in capsys.readouterr().err
    assert main([*words, "--depth", "none.png"]) == 1
    assert "none.png: no such file" in capsys.readouterr().err
