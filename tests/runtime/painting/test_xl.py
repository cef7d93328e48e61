"""Models of SDXL's kind: what is read, told and recorded. Parity is in tests/export/painting/test_xl.py."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from watch import Watch

import latentrt
from latentrt import Hires, ModelError, PromptTruncated, SettingError
from latentrt.cli import main
from latentrt.models.bundle import open_model
from latentrt.painting.told import time_ids

QUICK: dict[str, Any] = {
    "width": 64,
    "height": 48,
    "num_inference_steps": 2,
    "seed": 1,
    "guidance_scale": 3.0,
}
PROMPT = "a small red ring"


@pytest.fixture
def pipeline(random_xl):
    with latentrt.load(random_xl, device="cpu") as opened:
        yield opened


def changed(root: Path, target: Path, file: str, **values: Any) -> Path:
    shutil.copytree(root, target)
    path = target / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return target


def test_both_encoders_read_a_prompt_once_and_a_negative_that_is_not_given_none(pipeline, monkeypatch):
    watch = Watch(monkeypatch)
    for seed in (1, 2):
        pipeline.txt2img(PROMPT, **{**QUICK, "seed": seed})
    assert (watch.ran.count("text_encoder"), watch.ran.count("text_encoder_2")) == (1, 1)
    pipeline.txt2img(PROMPT, negative_prompt="", **QUICK)
    pipeline.txt2img(PROMPT, prompt_2="a blue star", **QUICK)
    pipeline.img2img(PROMPT, Image.new("RGB", (64, 48)), num_inference_steps=2)
    pipeline.txt2img(PROMPT, **QUICK, hires=Hires(1.5, steps=1))
    assert (watch.ran.count("text_encoder"), watch.ran.count("text_encoder_2")) == (3, 3)
    assert len(watch.alive) == 5


def test_low_memory_has_one_network_at_a_time(random_xl, monkeypatch):
    watch = Watch(monkeypatch)
    with latentrt.load(random_xl, device="cpu", low_memory=True) as low:
        for _ in low.start_txt2img(PROMPT, **QUICK):
            assert watch.alive == ["unet"]
    assert watch.made == ["text_encoder", "text_encoder_2", "unet"]


def test_what_is_told_changes_the_picture_and_the_default_is_the_pictures_size(pipeline):
    plain = pipeline.txt2img(PROMPT, **QUICK).latents
    size = {"original_size": (48, 64), "target_size": (48, 64), "crops_coords_top_left": (0, 0)}
    np.testing.assert_array_equal(pipeline.txt2img(PROMPT, **QUICK, **size).latents, plain)
    for given in (
        {"original_size": (500, 500)}, {"target_size": (10, 20)}, {"crops_coords_top_left": (0, 90)},
        {"negative_original_size": (500, 500)}, {"negative_target_size": (10, 20)},
        {"negative_crops_coords_top_left": (90, 0)}, {"negative_prompt": ""}, {"prompt_2": "a blue star"},
    ):  # fmt: skip
        assert np.abs(pipeline.txt2img(PROMPT, **QUICK, **given).latents - plain).max() > 1e-4, given


def rows(model, run="txt2img", **given):
    names = (
        "original_size", "crops_coords_top_left", "target_size", "negative_original_size",
        "negative_crops_coords_top_left", "negative_target_size", "aesthetic_score", "negative_aesthetic_score",
    )  # fmt: skip
    settings = {**dict.fromkeys(names), "width": 64, "height": 48, **given}
    return [row.tolist() for row in time_ids(model, settings, run)]


def test_the_numbers_that_are_told(random_xl, tmp_path):
    model = open_model(random_xl)
    assert rows(model) == [[48, 64, 0, 0, 48, 64]] * 2
    assert rows(model, original_size=(1, 2), crops_coords_top_left=(3, 4)) == [[1, 2, 3, 4, 48, 64]] * 2
    negative = {"negative_original_size": (5, 6), "negative_target_size": (7, 8)}
    crop = {"crops_coords_top_left": (3, 4)}
    assert rows(model, **negative, **crop) == [[48, 64, 3, 4, 48, 64], [5, 6, 0, 0, 7, 8]]
    assert rows(model, "img2img", **negative, **crop) == [[48, 64, 3, 4, 48, 64], [5, 6, 3, 4, 7, 8]]
    assert rows(model, negative_crops_coords_top_left=(9, 9))[1] == [48, 64, 9, 9, 48, 64]
    refiner = open_model(
        changed(
            random_xl, tmp_path / "refiner", "unet/config.json", projection_class_embeddings_input_dim=48 + 40
        )
    )
    assert rows(refiner) == [[48, 64, 0, 0, 6.0], [48, 64, 0, 0, 2.5]]
    assert rows(refiner, aesthetic_score=9.0, negative_original_size=(1, 2))[0] == [48, 64, 0, 0, 9.0]


def test_a_unet_that_does_not_go_with_its_text_encoder_is_named(random_xl, tmp_path):
    model = changed(random_xl, tmp_path / "x", "unet/config.json", projection_class_embeddings_input_dim=100)
    with (
        latentrt.load(model, device="cpu") as pipeline,
        pytest.raises(
            ModelError, match="projection_class_embeddings_input_dim is 100; expected text_encoder_2's"
        ),
    ):
        pipeline.txt2img(PROMPT, **QUICK)


def test_a_folder_without_its_second_encoder_says_so(random_xl, tmp_path):
    shutil.copytree(random_xl, tmp_path / "x")
    shutil.rmtree(tmp_path / "x" / "text_encoder_2")
    with pytest.raises(ModelError, match=r"has no text_encoder_2/config\.json"):
        open_model(tmp_path / "x")


def test_the_vae_computes_in_fp32_where_the_rest_is_fp16(random_xl, tmp_path):
    with latentrt.load(random_xl, device="cpu", dtype="fp16") as half:
        assert [half.runners[name].dtype for name in ("unet", "vae_decoder")] == ["fp16", "fp32"]
    fixed = changed(random_xl, tmp_path / "fixed", "vae/config.json", force_upcast=False)
    with latentrt.load(fixed, device="cpu", dtype="fp16") as half:
        assert half.runners["vae_decoder"].dtype == "fp16"


def test_of_two_encoders_a_cut_prompt_is_told_once(pipeline):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pipeline.txt2img("a red star " * 20, **QUICK)
    assert [one.category for one in told] == [PromptTruncated]


@pytest.mark.parametrize("value", [(0, 5), (5,), "x", (5, 1.5), (10**9, 5), 5])
def test_no_sizes(pipeline, value):
    with pytest.raises(SettingError, match="original_size: expected "):
        pipeline.txt2img(PROMPT, original_size=value)


def test_on_the_command_line(random_xl, tmp_path, capsys):
    out = tmp_path / "x.png"
    arguments = [
        "generate",
        PROMPT,
        "--model",
        str(random_xl),
        "--steps",
        "1",
        "--size",
        "64x48",
        "--seed",
        "3",
        "--quiet",
    ]
    told = ["--original-size", "200x100", "--crop", "3x5", "--prompt-2", "a star", "--negative", "", "--json"]
    assert main([*arguments, *told, "--out", str(out)]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["original_size"] == [100, 200] and settings["crops_coords_top_left"] == [5, 3]
    text = latentrt.read_parameters(out)
    assert "Original size: 200x100, Crop: 3x5" in text and "Empty negative prompt: encoded" in text
    again = tmp_path / "again.png"
    assert (
        main(["generate", "--from", str(out), "--model", str(random_xl), "--quiet", "--out", str(again)]) == 0
    )
    assert again.read_bytes() == out.read_bytes()
    assert main(["generate", PROMPT, "--original-size", "9x9", "--quiet"]) == 2
    assert "--original-size: does nothing here: demo is told no sizes" in capsys.readouterr().err
