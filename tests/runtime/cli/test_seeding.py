"""Seeds and guidance on the command line, and the way back from a picture's text."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentrt.cli import main, options, paint, seeding
from latentrt.errors import InputError
from latentrt.painting.settings import Settings
from latentrt.pictures.images import read_parameters, save_image
from latentrt.pictures.metadata import parse_parameters


def batches(words):
    parser = argparse.ArgumentParser()
    paint.add_arguments(parser, Settings)
    args = parser.parse_args(words.split())
    settings = options.given(args, Settings)
    return seeding.batches(settings, one_stream=args.one_stream, low_memory=args.low_memory)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--seed 5", [{"seed": [5], "batch_size": 1}]),
        ("--seed 5 --count 2", [{"seed": [5], "batch_size": 1}, {"seed": [6], "batch_size": 1}]),
        ("--seed 5,9,2 --batch-size 2", [{"seed": [5, 9], "batch_size": 2}, {"seed": [2], "batch_size": 1}]),
        ("--seed 5,9 --count 2 --low-memory", [{"seed": [5, 9], "batch_size": 1}]),
        ("--seed 5 --rng nv", [{"seed": [5], "batch_size": 1, "rng": "nv"}]),
        ("--seed 5 --count 3 --one-stream", [{"seed": 5, "num_images": 3}]),
        ("--seed 5 --batch-index 1,3", [{"seed": 5, "num_images": 2, "batch_index": (1, 3)}]),
        (
            "--seed 5 --count 2 --batch-size 2 --variation-seed 7 --variation-strength 0.5",
            [{"seed": [5, 5], "batch_size": 2, "variation_seed": [7, 8], "variation_strength": 0.5}],
        ),
        (
            "--seed 5 --count 2 --one-stream --variation-seed 7 --variation-strength 0.5",
            [{"seed": 5, "num_images": 2, "variation_seed": 7, "variation_strength": 0.5}],
        ),
    ],
)
def test_batches(words, expected):
    assert batches(words) == expected


def test_a_variation_seed_is_drawn_where_none_is_given():
    (settings,) = batches("--seed 5 --variation-strength 0.5")
    assert 0 <= settings["variation_seed"][0] < 2**32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seed 1,2 --count 3", "--count: expected 2, one picture for each --seed, got 3"),
        ("--seed 1,2 --one-stream", "--one-stream: expected one --seed, got 2"),
        (
            "--seed 1 --count 4 --batch-size 2 --one-stream",
            "--batch-size: expected 4, all pictures of one stream",
        ),
        (
            "--variation-seed 3,4 --variation-strength 0.5",
            "--variation-seed: expected one seed, got 2",
        ),
        ("--variation-seed 3", "--variation-seed: does nothing without --variation-strength"),
        (f"--seed {2**64 - 1} --count 2", "seed: 2 seeds from 18446744073709551615 go beyond"),
        (
            f"--seed 1 --count 2 --variation-seed {2**64 - 1} --variation-strength 1",
            "variation_seed: 2 seeds from 18446744073709551615 go beyond",
        ),
        ("--seed 1 --count 2 --one-stream --like a1111", "--one-stream: a1111 counts seeds up; leave it out"),
    ],
)
def test_refused(words, message):
    with pytest.raises(InputError, match=message):
        batches(words)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seed", "1,x"),
        ("--guidance-scale", "9,"),
        ("--guidance-interval", "0.5"),
        ("--guidance-interval", "0.8,0.2"),
        ("--guidance-rescale", "2"),
        ("--rng", "gpu"),
    ],
)
def test_wrong_usage(option, value, capsys):
    assert main(["generate", "x", option, value]) == 2
    assert option in capsys.readouterr().err


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_a_picture_says_all_that_makes_it_again(random_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--model", str(random_model), "--device", "cpu", "--quiet"]
    words = "--size 64x64 --steps 4 --seed 3 --count 2 --rng nv --variation-seed 7 --variation-strength 0.4"
    words += (
        " --guidance-scale 9,3 --guidance-interval 0,0.75 --guidance-rescale 0.5 --sampler euler_ancestral"
    )
    assert main(["generate", "x", *common, *words.split(), "--out", "a-{index}.png"]) == 0
    p = parse_parameters(str(read_parameters("a-2.png")))
    assert (p.seed, p.variation_seed, p.variation_strength, p.guidance_scale) == (3, 8, 0.4, 9)
    entries = {"CFG schedule": "9 3", "CFG interval": "0 0.75", "CFG rescale": "0.5", "RNG": "NV"}
    assert entries.items() <= dict(p.extra).items()
    assert main(["generate", "--from", "a-2.png", *common, "--out", "b.png"]) == 0
    np.testing.assert_array_equal(pixels("b.png"), pixels("a-2.png"))
    assert Path("b.png").read_bytes() == Path("a-2.png").read_bytes()
    # Another seed is another picture, and no variation of it.
    assert main(["generate", "--from", "a-2.png", *common, "--seed", "4", "--out", "c.png"]) == 0
    assert parse_parameters(str(read_parameters("c.png"))).variation_seed is None


def test_all_of_one_stream_are_made_again_together(random_model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["--model", str(random_model), "--device", "cpu", "--quiet"]
    words = ["--size", "64x64", "--steps", "2", "--seed", "3", "--count", "2", "--one-stream"]
    words += ["--variation-seed", "8", "--variation-strength", "0.5"]
    assert main(["generate", "x", *common, *words, "--out", "a-{index}.png"]) == 0
    assert main(["generate", "--from", "a-2.png", *common, "--out", "b.png"]) == 2
    advice = "--one-stream --seed 3 --count 2"
    assert advice in capsys.readouterr().err
    assert main(["generate", "--from", "a-2.png", *common, *advice.split(), "--out", "b-{index}.png"]) == 0
    for index in (1, 2):
        np.testing.assert_array_equal(pixels(f"a-{index}.png"), pixels(f"b-{index}.png"))


@pytest.mark.parametrize(
    ("entries", "rng"),
    [("Version: v1.10.1", "nv"), ("RNG: CPU, Version: v1.10.1", "cpu"), ("RNG: NV, Version: v1.10.1", "nv"),
     ("Version: latentrt 0.1.0", "cpu"), ("Model: demo", "nv")],  # before 1.3 it wrote no version
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")
def test_automatic1111_draws_on_cuda(random_model, tmp_path, monkeypatch, entries, rng):
    monkeypatch.chdir(tmp_path)
    text = f"x\nSteps: 1, Sampler: Euler, CFG scale: 1, Seed: 3, Size: 64x64, {entries}"
    save_image(Image.new("RGB", (64, 64)), "theirs.png", text)
    common = ["--model", str(random_model), "--device", "cpu", "--quiet"]
    assert main(["generate", "--from", "theirs.png", *common, "--out", "a.png"]) == 0
    p = parse_parameters(str(read_parameters("a.png")))
    assert dict(p.extra).get("RNG", "CPU").lower() == rng


def test_a_drawn_variation_seed_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["generate", "a red heart", "--device", "cpu", "--size", "64x64", "--steps", "1", "--seed", "5"]
    assert main([*command, "--count", "2", "--variation-strength", "0.5", "--json"]) == 0
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)["variation_seeds"]
    assert second == first + 1
    assert main([*command, "--variation-strength", "0.5", "--variation-seed", str(first)]) == 0
    assert f"seed 5, variation seed {first}, cpu" in capsys.readouterr().err
