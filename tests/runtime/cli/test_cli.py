"""The command line with a stand-in for the model: what it asks of it, what it prints where, and how it ends."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import latentrt
from latentrt.cli import main, optional
from latentrt.cli.console import fail
from latentrt.errors import ModelError, ProviderError
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import GenerationParameters, format_parameters, parse_parameters


@dataclasses.dataclass
class FakeResult:
    images: list[Image.Image]
    seeds: list[int]
    parameters: list[GenerationParameters]
    timings: dict[str, float]


class FakeGeneration:
    total = 3

    def __init__(self, result: FakeResult, width: int, height: int) -> None:
        self._result = result
        self.request = SimpleNamespace(width=width, height=height, output_size=(width, height), seeds=None)

    def __iter__(self) -> Iterator[Any]:
        return iter([SimpleNamespace(index=index, seconds=0.5) for index in range(self.total)])

    def result(self) -> FakeResult:
        return self._result


class FakePipeline:
    """Remembers what it was asked; paints grey pictures."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked
        self.provider = SimpleNamespace(name="cpu")
        self.dtype = "fp32"
        self.model = SimpleNamespace(name="fake", vae_scale_factor=8)
        self.autoencoder = SimpleNamespace(tiling=lambda height, width: None)

    def __enter__(self) -> "FakePipeline":
        return self

    def __exit__(self, *exception: object) -> None:
        self.asked.append(("close",))

    def start_txt2img(self, prompt: str, **settings: Any) -> FakeGeneration:
        self.asked.append(("txt2img", prompt, settings))
        seeds: Sequence[int] = settings["seed"]
        parameters = [
            GenerationParameters(
                prompt=prompt,
                negative_prompt=settings["negative_prompt"],
                steps=settings["num_inference_steps"] or 3,
                sampler="DPM++ 2M",
                schedule_type="Karras",
                guidance_scale=settings["guidance_scale"],
                seed=seed,
                width=16,
                height=8,
                model="demo",
                strength=settings.get("strength"),
            )
            for seed in seeds
        ]
        images = [Image.new("RGB", (16, 8), "grey") for _ in seeds]
        width, height = settings["width"] or 16, settings["height"] or 8
        return FakeGeneration(FakeResult(images, list(seeds), parameters, {"unet": 0.5}), width, height)

    def start_img2img(self, prompt: str, image: Image.Image, **settings: Any) -> FakeGeneration:
        self.asked.append(("image", image.size))
        for name, side in zip(("width", "height"), image.size, strict=True):
            settings[name] = settings[name] or side
        return self.start_txt2img(prompt, **settings)

    def encode(self, image: Image.Image, *, seed: int | None) -> np.ndarray:
        self.asked.append(("encode", image.size, seed))
        return np.full((1, 4, image.height // 8, image.width // 8), 0.5, np.float32)

    def decode(self, latents: np.ndarray) -> list[Image.Image]:
        self.asked.append(("decode", latents.shape))
        return [Image.new("RGB", (8, 8)) for _ in latents]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """What was asked of the model; the command runs in `tmp_path`."""
    calls: list[tuple[Any, ...]] = []

    def load(model: str, **options: Any) -> FakePipeline:
        calls.append(("load", model, options))
        return FakePipeline(calls)

    monkeypatch.setitem(vars(latentrt), "load", load)  # setattr would import the real one
    monkeypatch.chdir(tmp_path)
    return calls


def settings_of(asked: list[tuple[Any, ...]]) -> dict[str, Any]:
    return next(call[2] for call in asked if call[0] == "txt2img")


def test_generate_asks_for_what_was_said(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "generate cat --model some/model --negative dog --size 512x384 --steps 4 --guidance-scale 0 --seed 0"
    )
    words += " --count 3 --batch-size 2 --sampler ddim --eta 0.5 --clip-skip 1"
    words += " --device cpu --dtype fp32 --low-memory --out a.png"
    assert main(words.split()) == 0
    assert asked == [
        ("load", "some/model", {"device": "cpu", "dtype": "fp32", "low_memory": True, "tile": "auto"}),
        (
            "txt2img",
            "cat",
            {
                "negative_prompt": "dog",
                "width": 512,
                "height": 384,
                "num_inference_steps": 4,
                "guidance_scale": 0.0,
                "seed": [0, 1, 2],
                "batch_size": 2,
                "sampler": "ddim",
                "schedule": None,
                "eta": 0.5,
                "clip_skip": 1,
                "hires": None,
            },
        ),
        ("close",),
    ]
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a-1.png", "a-2.png", "a-3.png"]
    assert "seed 0–2" in err
    for index in range(3):
        text = read_parameters(Path(f"a-{index + 1}.png"))
        assert text is not None
        p = parse_parameters(text)
        assert (p.prompt, p.negative_prompt, p.seed, p.guidance_scale) == ("cat", "dog", index, 0)


def test_ctrl_c_while_a_native_module_is_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pybind11 makes an ImportError of the KeyboardInterrupt."""

    def interrupted(*_args: Any, **_settings: Any) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(latentrt, "load", interrupted)
    assert main(["generate", "cat"]) == 130
    assert capsys.readouterr().err == "latentrt: interrupted\n"


def test_an_unknown_option_names_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--stepz", "3"]) == 2
    err = capsys.readouterr().err
    assert "unrecognized arguments: --stepz 3" in err
    assert "latentrt generate --help" in err
    assert main(["generate", "a", "cat"]) == 2
    assert "unrecognized arguments: cat; a value of several words stands in quotes" in capsys.readouterr().err


def test_each_batch_is_written_before_the_next_is_painted(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third batch leaves the pictures of the first two."""
    start = FakePipeline.start_txt2img

    def interrupted(self: FakePipeline, prompt: str, **settings: Any) -> FakeGeneration:
        if 9 in settings["seed"]:
            raise KeyboardInterrupt
        return start(self, prompt, **settings)

    monkeypatch.setattr(FakePipeline, "start_txt2img", interrupted)
    assert main(["generate", "cat", "--seed", "5", "--count", "5", "--batch-size", "2", "--quiet"]) == 130
    assert [call[2]["seed"] for call in asked if call[0] == "txt2img"] == [[5, 6], [7, 8]]
    files = [f"latentrt-{seed}.png" for seed in range(5, 9)]
    assert capsys.readouterr().out.split() == files
    assert sorted(path.name for path in Path().iterdir()) == files


def test_a_last_batch_may_be_smaller(asked: list[tuple[Any, ...]]) -> None:
    assert main(["generate", "cat", "--seed", "5", "--count", "3", "--batch-size", "2", "--quiet"]) == 0
    sizes = [(call[2]["seed"], call[2]["batch_size"]) for call in asked if call[0] == "txt2img"]
    assert sizes == [([5, 6], 2), ([7], 1)]


def test_what_was_not_said_is_left_to_the_model(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "cat"]) == 0
    assert asked[0] == (
        "load",
        "demo",
        {"device": "auto", "dtype": "auto", "low_memory": False, "tile": "auto"},
    )
    settings = settings_of(asked)
    (seed,) = settings.pop("seed")
    assert 0 <= seed < 2**32
    assert settings.pop("batch_size") == 1
    assert settings.pop("negative_prompt") == ""
    assert set(settings.values()) == {None}
    out, err = capsys.readouterr()
    assert out == f"latentrt-{seed}.png\n"
    assert f"seed {seed}" in err


def test_json_and_quiet(asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--seed", "5", "--count", "2", "--json", "--quiet", "--out", "x/"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["files"] == ["x/00001-5.png", "x/00002-6.png"]
    assert report["seeds"] == [5, 6]
    assert report["timings"] == {"unet": 1.0}  # of two batches
    assert report["settings"]["prompt"] == "cat"
    assert (report["settings"]["device"], report["settings"]["dtype"]) == ("cpu", "fp32")


def test_a_picture_is_made_again_from_itself(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "generate",
                "cat",
                "--seed",
                "5",
                "--guidance-scale",
                "2.5",
                "--negative",
                "dog",
                "--out",
                "a.png",
            ]
        )
        == 0
    )
    asked.clear()
    assert main(["generate", "--from", "a.png", "--steps", "9", "--out", "b.png"]) == 0
    assert asked[1][1] == "cat"
    settings = settings_of(asked)
    assert settings["seed"] == [5]
    assert (settings["negative_prompt"], settings["guidance_scale"], settings["num_inference_steps"]) == (
        "dog",
        2.5,
        9,
    )
    assert (settings["width"], settings["height"], settings["sampler"]) == (16, 8, "DPM++ 2M Karras")


def test_a_sampler_of_the_models_config_is_asked_for_by_its_class(asked: list[tuple[Any, ...]]) -> None:
    from latentrt.pictures.images import save_image

    p = GenerationParameters(
        "x", steps=1, sampler="Euler", schedule_type="Exponential", seed=1, width=8, height=8
    )
    extra = (("Sampler class", "EulerDiscreteScheduler"),)
    for version, sampler in (("latentrt 1", "EulerDiscreteScheduler"), ("v1.10", "Euler Exponential")):
        text = format_parameters(dataclasses.replace(p, version=version, extra=extra))
        save_image(Image.new("RGB", (8, 8)), "a.png", text)
        asked.clear()
        assert main(["generate", "--from", "a.png", "--out", "b.png"]) == 0
        assert settings_of(asked)["sampler"] == sampler
    asked.clear()
    assert main(["generate", "--from", "a.png", "--sampler", "ddim", "--out", "b.png"]) == 0
    assert settings_of(asked)["sampler"] == "ddim"


def test_one_of_several_from_one_seed_is_not_made_again(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
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


def test_a_grid_of_pictures_is_not_made_again(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    from latentrt.pictures.images import save_image

    axes = (("X Type", "Sampler"), ("X Values", "euler,ddim"), ("Y Type", "Steps"), ("Y Values", "1,2"))
    for version in ("latentrt 1", "v1.10.1"):
        p = GenerationParameters("x", steps=1, seed=1, version=version)
        p = dataclasses.replace(p, extra=(("Script", "X/Y/Z plot"), *axes))
        save_image(Image.new("RGB", (8, 8)), "grid.png", format_parameters(p))
        assert main(["generate", "--from", "grid.png"]) == 2
        assert "grid.png: is a grid of pictures over Sampler, Steps" in capsys.readouterr().err
    assert asked == []


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
        ({**THEIRS, "ENSD": "31337"}, [], ["ENSD", *THEIRS]),
        ({**THEIRS, "ENSD": "31337"}, ["--hires", "off"], ["ENSD"]),
        (THEIRS, ["--hires", "off"], []),
        # the same as in the first pass
        ({"Hires CFG Scale": "7.0", "Hires sampler": "Euler", "Hires prompt": "x", "ENSD": "0"}, [], []),
        ({}, [], []),
    ],
)
def test_what_is_not_heeded_of_a_second_pass_is_said(
    asked: list[tuple[Any, ...]],
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
    warning = f"latentrt: warning: a.png will look different: not heeded here: {', '.join(unheeded)}\n"
    assert capsys.readouterr().err == (warning if unheeded else "")
    hires = None if "off" in options else Hires(2.0, steps=5, strength=0.5, upscaler="Latent")
    assert settings_of(asked)["hires"] == hires


def test_a_second_pass_that_is_off_has_no_options(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "x", "--hires", "off", "--quiet"]) == 0
    assert settings_of(asked)["hires"] is None
    assert main(["generate", "x", "--hires", "off", "--hires-steps", "3"]) == 2
    assert "--hires-steps: does nothing without --hires" in capsys.readouterr().err


def test_a_random_seed_wins_over_the_pictures(asked: list[tuple[Any, ...]]) -> None:
    assert main(["generate", "cat", "--seed", "5", "--out", "a.png"]) == 0
    asked.clear()
    assert main(["generate", "--from", "a.png", "--seed", "-1", "--quiet"]) == 0
    (seed,) = settings_of(asked)["seed"]
    assert 0 <= seed < 2**32
    assert seed != 5  # once in four thousand million times


def test_pictures_that_cannot_be_made_again(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    from latentrt.pictures.images import save_image

    grey = Image.new("RGB", (8, 8))
    save_image(grey, "none.png")
    save_image(grey, "other.png", format_parameters(GenerationParameters("x", steps=1, seed=1, model="v1-5")))
    save_image(grey, "over.png", format_parameters(GenerationParameters("x", steps=1, seed=1, strength=0.5)))
    wide = GenerationParameters("x", steps=1, seed=1, width=900_000, height=900_000)
    save_image(grey, "wide.png", format_parameters(wide))
    for name, reason in (
        ("wide", "its size"),
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


def test_img2img(asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (24, 16)).save("in.png")
    assert (
        main(["img2img", "cat", "--image", "in.png", "--strength", "0.25", "--out", "a.jpg", "--seed", "1"])
        == 0
    )
    assert asked[1] == ("image", (24, 16))
    assert settings_of(asked)["strength"] == 0.25
    assert "Denoising strength: 0.25" in str(read_parameters("a.jpg"))


def test_a_picture_too_large_for_its_file_is_not_painted(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The size of img2img is its picture's, known only when the model's factor is."""
    Image.new("RGB", (16_400, 8)).save("in.png")
    assert main(["img2img", "cat", "--image", "in.png", "--out", "a.webp"]) == 2
    assert "16400x8 is too large for a WEBP file" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["in.png"]


def test_encode_takes_the_models_multiples(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (30, 17)).save("in.png")
    assert main(["encode", "in.png", "--out", "l.safetensors", "--size", "20x16"]) == 2
    assert "expected multiples of 8 for this model, got 20x16" in capsys.readouterr().err


def test_encode_and_decode(asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 17)).save("in.png")
    assert main(["encode", "in.png", "--out", "l.safetensors", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("l.safetensors\n", "resized from 30x17 to 24x16\n")
    assert ("encode", (24, 16), 3) in asked
    assert main(["decode", "l.safetensors", "--out", "d.png"]) == 0
    assert ("decode", (1, 4, 2, 3)) in asked
    assert capsys.readouterr().out == "d.png\n"
    with Image.open("d.png") as image:
        assert image.size == (8, 8)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("", "required: COMMAND"),
        ("paint", "invalid choice: 'paint'"),
        ("generate", "expected a PROMPT"),
        ("generate cat --size 0x64", "expected sides of 1 or more, got 0x64"),
        ("generate cat --size 16384x64 --out a.webp", "16384x64 is too large for a WEBP file"),
        ("generate cat --size 64x65504 --out a-{seed}.jpg", "too large for a JPEG file"),
        (f"generate {'x' * 31_000} --out a.jpg", "prompts are too long for a JPEG file"),
        (f"generate cat --out {'a' * 240}.png", "file name of at most 220 bytes"),
        ("generate cat --size 64", "expected WIDTHxHEIGHT"),
        ("generate cat --size -8x8", "size"),
        ("generate cat --size 80000x80000", "at most"),
        ("generate cat --steps 0", "expected a whole number of 1 or more, got '0'"),
        ("generate cat --steps -3", "steps"),
        ("generate cat --steps 1.5", "expected a whole number"),
        ("generate cat --guidance-scale nan", "expected a finite number, got 'nan'"),
        ("generate cat --guidance-scale inf", "expected a finite number"),
        ("generate cat --guidance-scale x", "expected a finite number"),
        ("generate cat --seed -2", "or -1 for a random one, got '-2'"),
        ("generate cat --seed 18446744073709551616", "expected 0 to 18446744073709551615"),
        ("generate cat --seed 18446744073709551615 --count 2", "go beyond"),
        ("generate cat --count 0", "expected a whole number"),
        ("generate cat --count 10001", "expected at most 10000"),
        ("generate cat --eta 2", "expected a number from 0 to 1"),
        ("generate cat --clip-skip -1", "clip-skip"),
        ("generate cat --device tpu", "invalid choice: 'tpu'"),
        ("generate cat --out a.xyz", "expected one of .png"),
        ("generate cat --out none/a.png", "none: no such folder"),
        ("generate cat --ou a.png", "unrecognized arguments: --ou"),
        ("img2img cat", "required: --image"),
        ("img2img cat --image in.png --strength 0", "0 would give the picture back as it is"),
        ("img2img cat --image in.png --strength 1.1", "more than 0 and at most 1"),
        ("img2img cat --image in.png --strength nan", "expected a finite number"),
        ("encode in.png --out a.bin", "expected .safetensors"),
        ("encode in.png --out none/a.safetensors", "no such folder"),
        ("decode none.safetensors --out a.png", "no such file"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_is_loaded(
    words: str, reason: str, asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save("in.png")
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("latentrt: error: ")
    assert err.count("\n") == 1
    assert reason in err
    assert asked == []
    assert [path.name for path in Path().iterdir()] == ["in.png"]


def test_failures_exit_with_1(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["img2img", "cat", "--image", "none.png"]) == 1
    assert capsys.readouterr().err == "latentrt: error: none.png: no such file\n"
    Path("text.png").write_text("text")
    assert main(["img2img", "cat", "--image", "text.png"]) == 1
    assert "not a picture that can be read here" in capsys.readouterr().err
    for error in (
        ModelError("no such model"),
        ProviderError("cuda: not here"),
        PermissionError(13, "Denied", "m"),
    ):

        def load(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setitem(vars(latentrt), "load", load)
        assert main(["generate", "cat"]) == 1
        last = capsys.readouterr().err
        expected = "m: Denied" if isinstance(error, PermissionError) else str(error)
        assert last == f"latentrt: error: {expected}\n"


def test_a_full_disk_is_said(
    asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["generate", "cat", "--out", "a.png", "--quiet"]) == 1
    assert capsys.readouterr().err == "latentrt: error: a.png: the disk is full\n"
    assert not list(Path().iterdir())


def test_a_command_whose_packages_are_missing_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needy.py").write_text(
        "def add_arguments(parser): parser.add_argument('x')\ndef run(args): import no_such_package\n"
    )
    (tmp_path / "needier.py").write_text("import no_such_package.part\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("needy", "needier"):
        monkeypatch.setitem(optional._MODULES, "export", module)
        assert main(["export", "x"]) == 1
        message = (
            "export: no_such_package is not installed; this command needs: pip install 'latentrt[export]'"
        )
        assert capsys.readouterr().err == f"latentrt: error: {message}\n"


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in facts["providers"]} == {"cuda", "openvino", "cpu"}
    assert all(entry["reason"] for entry in facts["providers"])
    first = next(entry["name"] for entry in facts["providers"] if entry["available"])
    assert facts["auto"]["device"] == first
    assert facts["latentrt"] == latentrt.__version__
    assert main(["doctor"]) == 0
    assert f"--device {first}" in capsys.readouterr().out


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "latentrt", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_help_lists_every_command_without_importing_anything_heavy() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for name in (
        "generate",
        "img2img",
        "encode",
        "decode",
        "export",
        "train-demo",
        "verify",
        "info",
        "doctor",
    ):
        assert f"    {name}" in shown.stdout
    code = """
        import sys
        from latentrt.cli import main
        main(["--help"])
        heavy = {"numpy", "onnxruntime", "PIL", "tokenizers", "tqdm", "torch", "google.protobuf"} & set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", ["generate", "img2img", "encode", "decode", "verify", "info", "doctor"])
def test_every_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"examples:\n  latentrt {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(optional.COMMANDS))
def test_help_of_an_optional_command_imports_nothing_of_torch(name: str) -> None:
    code = f"""
        import sys
        from latentrt.cli import main
        assert main([{name!r}, "--help"]) == 0
        heavy = {{"torch", "diffusers", "transformers", "onnx", "onnxruntime"}} & set(sys.modules)
        sys.exit(f"imported {{heavy}}" if heavy else 0)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"examples:\n  latentrt {name}" in shown.stdout


def test_words_and_paths_that_are_no_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8: refused in a prompt, kept in a path."""
    done = subprocess.run(
        [sys.executable, "-m", "latentrt", "encode", b"\xff.png", "--out", b"\xfe.safetensors"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 1
    assert done.stderr == b"latentrt: error: \\udcff.png: no such file\n"
    code = """
        import sys, latentrt
        from latentrt.cli import console
        console.take_any_path()
        print("\\udcff.png")
    """
    assert subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)]) == b"\xff.png\n"


def test_an_error_of_several_lines_is_said_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("unet: cpu failed:\n  no memory\n\n", 1) == 1
    assert capsys.readouterr().err == "latentrt: error: unet: cpu failed: no memory\n"


def test_without_stdout() -> None:
    done = subprocess.run(f"{sys.executable} -m latentrt doctor >&-", shell=True, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_onnxruntime() -> None:
    """The runtime's own extra is missing: doctor shows it, the others say what to install."""
    code = """
        import sys
        sys.modules["onnxruntime"] = None
        from latentrt.cli import main
        sys.exit(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run([*command, "generate", "x"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "latentrt: error: onnxruntime is not installed; this needs: pip install 'latentrt[cpu]'"
    )
    done = subprocess.run([*command, "doctor"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing runs here: pip install 'latentrt[cpu]'" in done.stdout
    assert done.stderr == ""


def test_version() -> None:
    assert run("--version").stdout == f"latentrt {latentrt.__version__}\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "latentrt", "doctor", "--json"], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_an_error_without_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "latentrt", "doctor"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "latentrt: error: [Errno 28] No space left on device\n"


STUCK = """
    import sys, time
    from concurrent.futures import ThreadPoolExecutor
    from types import SimpleNamespace
    import latentrt
    from latentrt.cli import main

    class Stuck:
        total = 3
        request = SimpleNamespace(width=8, height=8, output_size=(8, 8), seeds=None)
        autoencoder = SimpleNamespace(tiling=lambda height, width: None)
        model = None
        def __enter__(self): return self
        def __exit__(self, *exception): pass
        def start_txt2img(self, prompt, **settings): return self
        def __iter__(self):
            # As a session does it: the native call in a worker, waited for even when interrupted.
            future = ThreadPoolExecutor(1).submit(time.sleep, 30)
            print("computing", file=sys.stderr, flush=True)
            try:
                future.result()
            finally:
                {waits}
            yield

    latentrt.load = lambda *_, **__: Stuck()
    sys.argv = ["latentrt", "generate", "cat"]
    sys.exit(main())
"""


@pytest.mark.parametrize("waits", ["future.result()", "pass"])
def test_ctrl_c_in_the_middle_of_a_step(tmp_path: Path, waits: str) -> None:
    """Also where the native call cannot be stopped and goes on for half a minute."""
    code = textwrap.dedent(STUCK).format(waits=waits)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "computing\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert not list(tmp_path.iterdir())


def test_verify_tells_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentrt.engine import verify

    good = verify.Replay("unet", "fp32", 1e-6, 2e-6, 1e-4)
    bad = verify.Replay("unet", "fp16", float("inf"), float("inf"), 2e-2, "Fail: no such operator")
    for report, code in (
        (verify.Report(3, (), (), (), (good,)), 0),
        (verify.Report(3, ("a.onnx",), (), ("b.json",), (good, bad)), 1),
    ):
        monkeypatch.setattr(verify, "verify_bundle", lambda path, progress, report=report: report)
        assert main(["verify", "somewhere", "--json"]) == code
        facts = json.loads(capsys.readouterr().out)
        assert facts["ok"] == (code == 0)
        assert facts["components"][0]["max_abs"] == 1e-6
        assert main(["verify", "somewhere"]) == code
        out, err = capsys.readouterr()
        assert ("missing  a.onnx" in out, "Fail: no such operator" in out) == (code == 1, code == 1)
        assert err == ("latentrt: error: somewhere: is not what was exported\n" if code else "")


def test_errors_name_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--steps", "2000", "--device", "cpu"]) == 2
    assert "--steps: expected an integer from 1 to 1000, got 2000" in capsys.readouterr().err
