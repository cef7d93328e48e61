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
from latentrt.painting.conditions import condition
from latentrt.painting.recall import recall
from latentrt.painting.told import time_ids
from latentrt.pictures.metadata import format_parameters
from latentrt.text.rows import comfyui_rows

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


@pytest.mark.parametrize(
    ("like", "negative", "zeroes"),
    [
        ("diffusers", None, True),
        ("diffusers", "", False),
        ("a1111", None, True),
        ("a1111", "", True),
        ("forge", "", True),
        ("a1111", "grey", False),
        ("comfyui", None, False),
        ("comfyui", "", False),
    ],
)
def test_whether_zeros_stand_for_an_empty_negative_prompt(pipeline, like, negative, zeroes):
    request = pipeline.start_txt2img(PROMPT, **QUICK, like=like, negative_prompt=negative).request
    assert request.zeroes_negative == zeroes
    told, _ = condition(pipeline.text, request)
    assert np.any(told["encoder_hidden_states"]) == np.any(told["text_embeds"]) == (not zeroes)


def test_long_prompts_are_pooled_of_their_first_row(pipeline):
    """Each encoder has as many rows as the other, the shorter empty ones."""
    room = pipeline.text.tokenizer.max_length - 2
    long = "red " * (room + 1)
    told = {
        name: pipeline.text.encode([texts], rows=comfyui_rows)[0]
        for name, texts in {
            "long": (long, "ring"),
            "first": ("red " * room, "ring"),
            "rest": ("red", ""),
        }.items()
    }
    states = {name: one["encoder_hidden_states"] for name, one in told.items()}
    np.testing.assert_array_equal(states["long"], np.concatenate([states["first"], states["rest"]]))
    np.testing.assert_array_equal(told["long"]["text_embeds"], told["first"]["text_embeds"])


def test_comfyui_takes_the_last_layer_where_none_is_left(pipeline):
    """With the final layer norm, and of the other encoder what was asked for, if it has more."""
    layers = pipeline.model.text_layers
    started = pipeline.start_txt2img(PROMPT, **QUICK, like="comfyui", clip_skip=layers)
    told = condition(pipeline.text, started.request)[1]["encoder_hidden_states"]
    ids = pipeline.text.tokenizer.encode(PROMPT).ids[None]
    with pipeline.networks.stage("text_encoder") as runner:
        last = runner.run({"input_ids": ids}, ["last_hidden_state"])["last_hidden_state"][0]
    np.testing.assert_allclose(told[:, : last.shape[1]], last, rtol=0, atol=1e-5)
    with pytest.raises(SettingError, match="clip_skip: expected 0 to"):
        pipeline.start_txt2img(PROMPT, **QUICK, like="forge", clip_skip=layers + 1)


@pytest.mark.parametrize(
    ("like", "asked", "skipped"),
    [
        *((None, asked, asked) for asked in (0, 1)),
        *(("a1111", asked, 0) for asked in (0, 1, 2, 9)),
        *((like, asked, max(asked - 1, 0)) for like in ("comfyui", "forge") for asked in (0, 1, 2)),
    ],
)
def test_clip_skip_counts_as_in_the_program(pipeline, like, asked, skipped):
    """A text's "Clip skip: 2", which most have, is none to SDXL in any of them; it is written as it was asked for."""
    request = pipeline.start_txt2img(PROMPT, **QUICK, like=like, clip_skip=asked).request
    assert request.clip_skip == skipped
    assert request.settings["clip_skip"] == asked


def test_clip_skip_of_a_text_comes_again_with_its_program(pipeline):
    text = "a\nSteps: 2, Sampler: Euler, CFG scale: 3, Seed: 1, Size: 64x64, Clip skip: 2, Version: v1.10.1"
    painted = [pipeline.txt2img(**recall(one)) for one in (text, text.replace("Clip skip: 2, ", ""))]
    np.testing.assert_array_equal(painted[0].latents, painted[1].latents)
    again = recall(format_parameters(painted[0].parameters[0]))
    assert (again["clip_skip"], again["like"]) == (1, "a1111")


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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scaling_factor": 0.25}, "scaled by 0.25 in place of"),
        (
            {"latents_mean": [1.0] * 4, "latents_std": [2.0] * 4},
            r"latents_mean \[1.0, 1.0, 1.0, 1.0\], latents_std",
        ),
    ],
)
def test_a_refiner_of_other_latents_is_refused(pipeline, random_xl, tmp_path, values, said):
    other = changed(random_xl, tmp_path / "other", "vae/config.json", **values)
    with (
        latentrt.load(other, device="cpu") as refiner,
        pytest.raises(SettingError, match=f"refiner: other has other latents than random-xl .*{said}"),
    ):
        pipeline.start_txt2img(PROMPT, refiner=refiner, **QUICK)


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
