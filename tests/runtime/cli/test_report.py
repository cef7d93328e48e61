"""What `--json` tells of a picture: all that the picture's own text tells, and the size of the file."""

import json

import pytest
from PIL import Image

from latentrt.cli import main
from latentrt.painting.picture_settings import InpaintSettings
from latentrt.painting.second_pass import Hires
from latentrt.painting.setting import declared, record
from latentrt.pictures.images import load_image, read_parameters
from latentrt.pictures.metadata import parse_parameters

# The names in the JSON, by the entry of a picture's text.
NAMES = {
    entry.key: entry.name or name
    for of in (InpaintSettings, Hires)
    for name, setting in declared(of).items()
    for entry in setting.entries
} | {"Batch size": "one_stream"}
COMMON = ["--device", "cpu", "--quiet", "--json", "--seed", "3"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def report(capsys, *words):
    """The settings that the JSON tells, and those of the picture's text that have no field of their own."""
    assert main([*words, *COMMON]) == 0
    told = json.loads(capsys.readouterr().out)
    parameters = parse_parameters(read_parameters(told["files"][0]))
    assert {key for key, _ in parameters.extra} <= set(NAMES) | {"Batch pos"}
    settings = told["settings"]
    assert (settings["width"], settings["height"]) == load_image(told["files"][0]).size
    assert (settings["steps"], settings["prompt"]) == (parameters.steps, parameters.prompt)
    return settings, {NAMES[key] for key, _ in parameters.extra if key in NAMES}


def test_noise_and_guidance(capsys):
    settings, told = report(
        capsys,
        *("generate", "a red heart", "--size", "64x32", "--steps", "2", "--rng", "nv"),
        *("--guidance-scale", "3,1.5", "--guidance-interval", "0.5,1", "--guidance-rescale", "0.7"),
        *("--sampler", "euler", "--schedule", "beta"),
        *("--variation-strength", "0.25", "--variation-seed", "9"),
        *("--count", "2", "--one-stream"),
    )
    wanted = {
        "rng": "nv",
        "guidance_schedule": [3, 1.5],
        "guidance_interval": [0.5, 1],
        "guidance_rescale": 0.7,
        "one_stream": True,
        "sigma_schedule": "beta",
    }
    assert told == set(wanted)
    assert {key: settings[key] for key in wanted} == wanted
    assert (settings["guidance_scale"], settings["schedule_type"]) == (3, "Beta")
    assert settings["variation_strength"] == 0.25
    assert "first_pass_width" not in settings
    assert "masked_area_width" not in settings
    # what is not told is null, under the same keys
    assert {*record(InpaintSettings, {}), *record(Hires, {})} - {"seed", "variation_seed"} <= set(settings)
    assert settings["hires_steps"] is None
    assert settings["mask_blur"] is None


def test_a_mask(capsys):
    Image.new("RGB", (96, 64), "red").save("image.png")
    mask = Image.new("L", (96, 64))
    mask.paste(255, (40, 20, 60, 40))
    mask.save("mask.png")
    settings, told = report(
        capsys,
        *("inpaint", "a red heart", "--image", "image.png", "--mask", "mask.png", "--size", "64x64"),
        *("--steps", "2", "--strength", "0.9", "--mask-blur", "2.5", "--invert-mask", "--differential"),
        *("--only-masked", "--padding", "8"),
    )
    wanted = {
        "mask_blur": 2.5,
        "invert_mask": True,
        "only_masked": True,
        "padding": 8,
        "differential": True,
    }
    assert told == set(wanted)
    assert {key: settings[key] for key in wanted} == wanted
    assert settings["strength"] == 0.9
    assert (settings["width"], settings["height"]) == (96, 64)
    assert (settings["masked_area_width"], settings["masked_area_height"]) == (64, 64)


def test_a_second_pass_of_a_size(capsys):
    settings, told = report(
        capsys, "generate", "a red heart", "--size", "64x32", "--steps", "1", "--hires", "96x48"
    )
    assert told == {"hires_size", "hires_steps", "hires_upscaler"}
    assert (settings["hires_size"], settings["hires_scale"]) == ([96, 48], None)
    assert (settings["width"], settings["height"]) == (96, 48)
    assert (settings["first_pass_width"], settings["first_pass_height"]) == (64, 32)
