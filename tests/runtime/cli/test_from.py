"""`generate --from`: what a picture's text brings back, what wins over it, and what is refused."""

import dataclasses

import pytest
from grey_pipeline import Asked
from PIL import Image

from latentrt.cli import main
from latentrt.pictures.metadata import GenerationParameters, format_parameters

pytestmark = [  # told, not raised
    pytest.mark.filterwarnings("always::latentrt.NotTold"),
    pytest.mark.filterwarnings("always::latentrt.NotHeeded"),
]


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
        "x", steps=2, sampler="Euler", schedule_type="Exponential", seed=1, width=8, height=8
    )
    extra = (("Sampler class", "EulerDiscreteScheduler"),)
    for version, sampler in (("latentrt 1", "EulerDiscreteScheduler"), ("v1.10", "Euler")):
        text = format_parameters(dataclasses.replace(p, version=version, extra=extra))
        save_image(Image.new("RGB", (8, 8)), "a.png", text)
        asked.calls.clear()
        assert main(["generate", "--from", "a.png", "--out", "b.png"]) == 0
        assert asked.settings["sampler"] == sampler
        assert asked.settings.get("schedule") == (None if sampler != "Euler" else "exponential")
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


@pytest.mark.parametrize(
    ("entries", "options", "unheeded"),
    [
        ({**THEIRS, "Tiling": "True"}, [], ["Tiling"]),
        ({**THEIRS, "Tiling": "True"}, ["--hires", "off"], ["Tiling"]),
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
        "x", "blur", 4, "Euler", None, 7.0, seed=1, width=8, height=8, strength=0.5, version="v1.10.1"
    )
    text = format_parameters(dataclasses.replace(p, extra=HIRES + tuple(entries.items())))
    save_image(Image.new("RGB", (8, 8)), "a.png", text)
    assert main(["generate", "--from", "a.png", "--quiet", *options]) == 0
    warning = f"latentrt: warning: the picture will look different: not heeded here: {', '.join(unheeded)}\n"
    warning = warning if unheeded else ""
    assert capsys.readouterr().err == warning
    hires = Hires(
        2.0,
        steps=5,
        strength=0.5,
        upscaler="Latent",
        sampler=entries.get("Hires sampler"),
        schedule={"DDIM": "automatic", "Euler": "normal"}.get(entries.get("Hires sampler", "")),
        guidance_scale=float(entries["Hires CFG Scale"]) if "Hires CFG Scale" in entries else None,
        prompt=entries.get("Hires prompt"),
        negative_prompt=entries.get("Hires negative prompt"),
    )
    assert asked.calls[1][2] == (None if "off" in options else hires)


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
    p = GenerationParameters("x", steps=1, guidance_scale=2.0, seed=1, width=8, height=8)
    save_image(grey, "other.png", format_parameters(dataclasses.replace(p, model="v1-5")))
    save_image(grey, "over.png", format_parameters(dataclasses.replace(p, strength=0.5)))
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


HEART = "a heart\nSteps: 4, Sampler: DPM++ 2M, Schedule type: Automatic, CFG scale: 2, Seed: 7, Size: 16x16"


def made(text: str) -> None:
    from latentrt.pictures.images import save_image

    save_image(Image.new("RGB", (8, 8)), "a.png", text)


@pytest.mark.parametrize(
    ("entry", "option"),
    [
        ("VAE: kl-f8", "--vae"),
        ("Text encoder: l", "--text-encoder"),
        ("UNet: lightning", "--unet"),
        ("Refiner: xl", "--refiner"),
    ],
)
def test_parts_of_a_picture_are_to_be_named_again(
    asked: Asked, capsys: pytest.CaptureFixture[str], entry: str, option: str
) -> None:
    made(f"{HEART}, {entry}, Version: latentrt 0.1")
    assert main(["generate", "--from", "a.png", "--quiet"]) == 0
    said = capsys.readouterr().err
    assert f"the picture will look different: not heeded here: {entry.partition(':')[0]}" in said
    main(["generate", "--from", "a.png", "--quiet", option, "x.safetensors"])
    assert "not heeded" not in capsys.readouterr().err


def test_whose_text_it_is_and_what_was_taken_is_told(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    made(f"{HEART}, ENSD: 31337, Tiling: True, Version: v1.10.1")
    assert main(["generate", "--from", "a.png", "--rng", "cpu", "--out", "b.png"]) == 0
    told, warning, *_ = capsys.readouterr().err.splitlines()
    assert told == (
        "a.png: as AUTOMATIC1111 v1.10.1 says: sampler DPM++ 2M, schedule karras, steps 4, guidance scale 2, seed 7, "
        "size 16x16, like a1111, eta seed delta 31337; noise as was asked"
    )
    assert warning.endswith("not heeded here: Tiling")
    assert (asked.settings["schedule"], asked.settings["rng"]) == ("karras", "cpu")
    assert main(["generate", "--from", "a.png", "--out", "b.png"]) == 0
    assert "noise as torch on CUDA (AUTOMATIC1111's default)" in capsys.readouterr().err
    assert asked.settings["rng"] == "nv"


def test_prompts_that_were_no_plain_text_are_refused(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    made(f"(red:1.2) <lora:x:1> {HEART}, Version: v1.10.1")
    assert main(["generate", "--from", "a.png"]) == 2
    error = capsys.readouterr().err
    assert "a.png: the prompt was no plain text to AUTOMATIC1111" in error
    assert "attention, '(red:1.2)'; a network, '<lora:x:1>'; " in error
    assert error.endswith("--plain)\n")
    assert asked.calls == []
    assert main(["generate", "--from", "a.png", "--plain"]) == 0
    assert asked.calls[1][1] == "(red:1.2) <lora:x:1> a heart"
    asked.calls.clear()
    assert main(["generate", "a star", "--from", "a.png"]) == 0
    assert asked.calls[1][1] == "a star"
    assert main(["generate", "a star", "--plain"]) == 2
    assert "--plain: does nothing without --from" in capsys.readouterr().err


def test_what_is_not_understood_fails(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    for text, reason in (
        (
            "a cat on a mat",
            "a.png: the text is not understood (PNG text parameters: 'a cat on a mat'); expected that of",
        ),
        (
            '{"3": {"class_type": "KSampler"}}',
            "a.png: a workflow of ComfyUI, of 1 nodes, which is not read here",
        ),
    ):
        made(text)
        assert main(["generate", "--from", "a.png"]) == 1
        assert reason in capsys.readouterr().err
    assert asked.calls == []


def test_what_is_not_here_has_ways_out(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    from latentrt.painting.hires import Hires

    made(f"{HEART}, Denoising strength: 0.5, Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+")
    assert main(["generate", "--from", "a.png"]) == 2
    assert (
        "a.png: --hires-upscaler: the picture's Hires upscaler, 'R-ESRGAN 4x+', is not"
        in capsys.readouterr().err
    )
    assert main(["generate", "--from", "a.png", "--hires-upscaler", "lanczos"]) == 0
    assert asked.calls[1][2] == Hires(2.0, steps=4, strength=0.5, upscaler="lanczos")
    asked.calls.clear()
    assert main(["generate", "--from", "a.png", "--hires", "off"]) == 0
    assert asked.calls[1][2] is None

    made(HEART.replace("Automatic", "Foo").replace("DPM++ 2M", "Bar"))
    assert main(["generate", "--from", "a.png"]) == 2
    assert "a.png: --sampler: the picture's Sampler, 'Bar', is not here" in capsys.readouterr().err
    assert main(["generate", "--from", "a.png", "--sampler", "euler"]) == 0
    made(HEART.replace("Automatic", "Foo"))
    assert main(["generate", "--from", "a.png"]) == 2
    assert "a.png: --schedule: the picture's Schedule type, 'Foo', is not here" in capsys.readouterr().err
    assert main(["generate", "--from", "a.png", "--schedule", "beta"]) == 0
    assert asked.settings["schedule"] == "beta"


def test_our_plain_dpmpp_2m_says_so_to_automatic1111(asked: Asked) -> None:
    """There "Automatic" is Karras for it, and even steps are "Uniform"."""
    from latentrt.pictures.images import read_parameters

    assert main(["generate", "cat", "--sampler", "dpmpp_2m", "--seed", "1", "--out", "a.png"]) == 0
    assert "Sampler: DPM++ 2M, Schedule type: Uniform, " in str(read_parameters("a.png"))
    assert main(["generate", "--from", "a.png", "--out", "b.png"]) == 0
    assert (asked.settings["sampler"], asked.settings.get("schedule")) == ("DPM++ 2M", None)
    assert read_parameters("a.png") == read_parameters("b.png")


def test_pictures_over_others_are_made_again_over_the_same(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    from latentrt.pictures.images import read_parameters, save_image

    save_image(Image.new("RGB", (16, 16), "blue"), "in.png")
    save_image(Image.new("RGB", (16, 16), "white"), "mask.png")
    runs = (
        ("img2img", [], ["--strength", "0.5"]),
        ("inpaint", ["--mask", "mask.png"], ["--mask-blur", "2", "--only-masked", "--padding", "3"]),
    )
    for run, mask, words in runs:
        common = ["--image", "in.png", *mask]
        assert main([run, "cat", *common, *words, "--seed", "5", "--out", "a.png"]) == 0
        first = asked.settings
        assert main([run, "--from", "a.png", *common, "--out", "b.png"]) == 0
        assert {name: asked.settings[name] for name in first} == first
        assert read_parameters("a.png") == read_parameters("b.png")
        assert main([run, "--from", "a.png", *common, "--strength", "0.25", "--out", "c.png"]) == 0
        assert asked.settings["strength"] == 0.25
        assert main(["generate", "--from", "a.png"]) == 2
        assert "paint over that, by img2img or inpaint" in capsys.readouterr().err
        assert main([run, *common]) == 2
        assert "expected a PROMPT, or --from PICTURE" in capsys.readouterr().err
    made(HEART)
    assert main(["img2img", "--from", "a.png", "--image", "in.png"]) == 2
    assert (
        "a.png: this was painted from noise alone, over no other picture; paint it again by txt2img"
        in capsys.readouterr().err
    )
