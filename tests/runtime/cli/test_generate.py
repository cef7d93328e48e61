"""`generate` over a stand-in: what it asks of the pipeline, and what it prints where."""

import json
from pathlib import Path
from typing import Any

import pytest
from grey_pipeline import Asked, GreyGeneration, GreyPipeline

from latentrt.cli import main
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import parse_parameters


def test_generate_asks_for_what_was_said(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "generate cat --model some/model --negative dog --size 512x384 --steps 4 --guidance-scale 0 --seed 0"
    )
    words += " --count 3 --batch-size 2 --sampler ddim --eta 0.5 --clip-skip 1"
    words += " --device cpu --dtype fp32 --low-memory --out a.png"
    assert main(words.split()) == 0
    assert asked.calls == [
        (
            "load",
            "some/model",
            {
                "device": "cpu",
                "dtype": "fp32",
                "low_memory": True,
                "tile": "auto",
                "cache": True,
                "threads": None,
            },
        ),
        (
            "txt2img",
            "cat",
            None,
            {
                "negative_prompt": "dog",
                "width": 512,
                "height": 384,
                "num_inference_steps": 4,
                "guidance_scale": 0.0,
                "seed": [0, 1, 2],
                "batch_size": 2,
                "sampler": "ddim",
                "eta": 0.5,
                "clip_skip": 1,
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


def test_each_batch_is_written_before_the_next_is_painted(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the third batch leaves the pictures of the first two."""
    start = GreyPipeline.start_txt2img

    def interrupted(self: GreyPipeline, prompt: str, **settings: Any) -> GreyGeneration:
        if 9 in settings["seed"]:
            raise KeyboardInterrupt
        return start(self, prompt, **settings)

    monkeypatch.setattr(GreyPipeline, "start_txt2img", interrupted)
    assert main(["generate", "cat", "--seed", "5", "--count", "5", "--batch-size", "2", "--quiet"]) == 130
    assert [settings["seed"] for settings in asked.runs] == [[5, 6], [7, 8]]
    files = [f"latentrt-{seed}.png" for seed in range(5, 9)]
    assert capsys.readouterr().out.split() == files
    assert sorted(path.name for path in Path().iterdir()) == files


def test_a_last_batch_may_be_smaller(asked: Asked) -> None:
    assert main(["generate", "cat", "--seed", "5", "--count", "3", "--batch-size", "2", "--quiet"]) == 0
    sizes = [(settings["seed"], settings["batch_size"]) for settings in asked.runs]
    assert sizes == [([5, 6], 2), ([7], 1)]


def test_what_was_not_said_is_left_to_the_model(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat"]) == 0
    assert asked.calls[0] == (
        "load",
        "demo",
        {
            "device": "auto",
            "dtype": "auto",
            "low_memory": False,
            "tile": "auto",
            "cache": True,
            "threads": None,
        },
    )
    settings = asked.settings
    (seed,) = settings.pop("seed")
    assert 0 <= seed < 2**32
    assert settings == {"batch_size": 1}
    out, err = capsys.readouterr()
    assert out == f"latentrt-{seed}.png\n"
    assert f"seed {seed}" in err


def test_json_and_quiet(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--seed", "5", "--count", "2", "--json", "--quiet", "--out", "x/"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["files"] == ["x/00001-5.png", "x/00002-6.png"]
    assert report["seeds"] == [5, 6]
    assert report["timings"] == {"unet": 1.0}  # of two batches
    assert report["settings"]["prompt"] == "cat"
    assert (report["settings"]["device"], report["settings"]["dtype"]) == ("cpu", "fp32")


def test_a_second_pass_that_is_off_has_no_options(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "x", "--hires", "off", "--quiet"]) == 0
    assert asked.calls[1][2] is None
    assert main(["generate", "x", "--hires", "off", "--hires-steps", "3"]) == 2
    assert "--hires-steps: does nothing without --hires" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--steps 2000", "--steps: expected an integer from 1 to 1000, got 2000"),
        ("--size 60x64", "--size: expected a multiple of 8, got 60; try 56 or 64"),
        ("--clip-skip 3", "--clip-skip: expected 0 to 2 for a text encoder of 3 layers, got 3"),
        ("--sampler nope", "--sampler: no such sampler, 'nope'; expected one of: ddim"),
        (
            "--guidance-interval 0.1,0.2 --steps 2",
            "--guidance-interval: 0.1 to 0.2 covers no whole step of 2",
        ),
        # what the user wrote stays as it is, whatever it looks like
        ("--sampler clip_skip", "--sampler: no such sampler, 'clip_skip'"),
    ],
)
def test_errors_name_options(
    asked: Asked, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "cat", *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"latentrt: error: {message}")


def test_a_path_is_not_taken_for_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "cat", "--model", "clip_skip/width"]) == 1
    assert "latentrt: error: clip_skip/width: no such folder" in capsys.readouterr().err
