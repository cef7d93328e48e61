"""`generate --from`: what a picture's text brings back, what wins over it, and what is refused."""

import dataclasses

import pytest
from grey_pipeline import Asked
from PIL import Image

from latentrt.cli import main
from latentrt.pictures.metadata import GenerationParameters, format_parameters


def test_a_picture_is_made_again_from_itself(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    words = "generate cat --seed 5 --guidance-scale 2.5 --negative dog --eta 0.5 --clip-skip 1 --size 16x8 --out a.png"
    assert main([*words.split(), "--sampler", "DDIM Karras"]) == 0
    asked.calls.clear()
    assert main(["generate", "--from", "a.png", "--steps", "9", "--out", "b.png"]) == 0
    assert asked.calls[1][1] == "cat"
    assert asked.settings == {
        "negative_prompt": "dog",
        "width": 16,
        "height": 8,
        "num_inference_steps": 9,
        "sampler": "DDIM Karras",
        "guidance_scale": 2.5,
        "seed": [5],
        "batch_size": 1,
        "eta": 0.5,
        "clip_skip": 1,
    }


def test_several_pictures_count_on_from_its_seed(asked: Asked) -> None:
    assert main(["generate", "cat", "--seed", "5", "--out", "a.png"]) == 0
    asked.calls.clear()
    assert main(["generate", "--from", "a.png", "--count", "2", "--out", "b.png"]) == 0
    assert [settings["seed"] for settings in asked.runs] == [[5], [6]]


def test_a_sampler_of_the_models_config_is_asked_for_by_its_class(asked: Asked) -> None:
    from latentrt.pictures.images import save_image

    p = GenerationParameters(
        "x", steps=1, sampler="Euler", schedule_type="Exponential", seed=1, width=8, height=8
    )
    extra = (("Sampler class", "EulerDiscreteScheduler"),)
    for version, sampler in (("latentrt 1", "EulerDiscreteScheduler"), ("v1.10", "Euler Exponential")):
        text = format_parameters(dataclasses.replace(p, version=version, extra=extra))
        save_image(Image.new("RGB", (8, 8)), "a.png", text)
        asked.calls.clear()
        assert main(["generate", "--from", "a.png", "--out", "b.png"]) == 0
        assert asked.settings["sampler"] == sampler
    asked.calls.clear()
    assert main(["generate", "--from", "a.png", "--sampler", "ddim", "--out", "b.png"]) == 0
    assert asked.settings["sampler"] == "ddim"


def test_one_of_several_from_one_seed_is_not_made_again(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    from latentrt.pictures.images import save_image

    p = GenerationParameters("x", steps=1, seed=1, extra=(("Batch size", "4"), ("Batch pos", "2")))
    save_image(Image.new("RGB", (8, 8)), "a.png", format_parameters(p))
    assert main(["generate", "--from", "a.png"]) == 2
    assert "a.png: was one of 4 pictures drawn from one seed" in capsys.readouterr().err
    assert main(["generate", "--from", "a.png", "--seed", "3"]) == 0
    # AUTOMATIC1111 writes the same of pictures that have a seed each.
    save_image(
        Image.new("RGB", (8, 8)), "a.png", format_parameters(dataclasses.replace(p, version="v1.10.1"))
    )
    assert main(["generate", "--from", "a.png"]) == 0


def test_a_grid_of_pictures_is_not_made_again(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    from latentrt.pictures.images import save_image

    axes = (("X Type", "Sampler"), ("X Values", "euler,ddim"), ("Y Type", "Steps"), ("Y Values", "1,2"))
    for version in ("latentrt 1", "v1.10.1"):
        p = GenerationParameters("x", steps=1, seed=1, version=version)
        p = dataclasses.replace(p, extra=(("Script", "X/Y/Z plot"), *axes))
        save_image(Image.new("RGB", (8, 8)), "grid.png", format_parameters(p))
        assert main(["generate", "--from", "grid.png"]) == 2
        assert "grid.png: this is a grid of pictures over Sampler, Steps" in capsys.readouterr().err
    assert asked.calls == []


HIRES = (("Hires upscale", "2"), ("Hires steps", "5"), ("Hires upscaler", "Latent"))
THEIRS = {
    "Hires CFG Scale": "5",
    "Hires sampler": "DDIM",
    "Hires schedule type": "Karras",
    "Hires prompt": "a dog: small",
    "Hires negative prompt": "fog",
}


@pytest.mark.filterwarnings("always::latentrt.painting.recall.NotHeeded")  # told, not raised
@pytest.mark.parametrize(
    ("entries", "options", "unheeded"),
    [
        ({**THEIRS, "ENSD": "31337"}, [], ["ENSD", *THEIRS]),
        ({**THEIRS, "ENSD": "31337"}, ["--hires", "off"], ["ENSD"]),
        (THEIRS, ["--hires", "off"], []),
        # the same as in the first pass
        ({"Hires CFG Scale": "7.0", "Hires sampler": "Euler", "Hires prompt": "x", "ENSD": "0"}, [], []),
        ({}, [], []),
    ],
)
def test_what_is_not_heeded_of_a_second_pass_is_said(
    asked: Asked,
    capsys: pytest.CaptureFixture[str],
    entries: dict[str, str],
    options: list[str],
    unheeded: list[str],
) -> None:
    from latentrt.painting.hires import Hires
    from latentrt.pictures.images import save_image

    p = GenerationParameters(
        "x", "blur", 4, "Euler", guidance_scale=7.0, seed=1, strength=0.5, version="v1.10.1"
    )
    text = format_parameters(dataclasses.replace(p, extra=HIRES + tuple(entries.items())))
    save_image(Image.new("RGB", (8, 8)), "a.png", text)
    assert main(["generate", "--from", "a.png", "--quiet", *options]) == 0
    warning = f"latentrt: warning: the picture will look different: not heeded here: {', '.join(unheeded)}\n"
    assert capsys.readouterr().err == (warning if unheeded else "")
    hires = None if "off" in options else Hires(2.0, steps=5, strength=0.5, upscaler="Latent")
    assert asked.calls[1][2] == hires


def test_a_random_seed_wins_over_the_pictures(asked: Asked) -> None:
    assert main(["generate", "cat", "--seed", "5", "--out", "a.png"]) == 0
    asked.calls.clear()
    assert main(["generate", "--from", "a.png", "--seed", "-1", "--quiet"]) == 0
    (seed,) = asked.settings["seed"]
    assert 0 <= seed < 2**32
    assert seed != 5  # once in four thousand million times


def test_pictures_that_cannot_be_made_again(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    from latentrt.pictures.images import save_image

    grey = Image.new("RGB", (8, 8))
    save_image(grey, "none.png")
    save_image(grey, "other.png", format_parameters(GenerationParameters("x", steps=1, seed=1, model="v1-5")))
    save_image(grey, "over.png", format_parameters(GenerationParameters("x", steps=1, seed=1, strength=0.5)))
    wide = GenerationParameters("x", steps=1, seed=1, width=900_000, height=900_000)
    save_image(grey, "wide.png", format_parameters(wide))
    for name, reason in (
        ("wide", "wide.png: --size: expected at most 67,108,864 pixels, got 900000x900000"),
        ("none", "carries no"),
        ("other", "'v1-5'; say where"),
        ("over", "img2img"),
    ):
        assert main(["generate", "--from", f"{name}.png"]) == 2
        assert reason in capsys.readouterr().err
    assert main(["generate", "--from", "other.png", "--model", "x/v1-5"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["generate", "--from", "other.png", "--model", "x/v2"]) == 0
    assert "warning: other.png was made with the model 'v1-5'" in capsys.readouterr().err
