"""The grid: axes, what is refused before anything is painted, labels, and the text inside."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image, ImageFont

from latentrt.cli import main
from latentrt.cli.axes import axis
from latentrt.pictures.grid import draw_grid, wrap
from latentrt.pictures.images import load_image, read_parameters
from latentrt.pictures.metadata import parse_parameters


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps=5,10", (5, 10)),
        ("steps=1-4", (1, 2, 3, 4)),
        ("steps=10-50 (+20), 7", (10, 30, 50, 7)),
        ("cfg-scale=1", None),
        ("guidance_scale=1-2 [3]", (1.0, 1.5, 2.0)),
        ("strength=0.2-1 [5]", (0.2, 0.4, 0.6, 0.8, 1.0)),
        ("eta=0-0.5 (+0.25)", (0.0, 0.25, 0.5)),
        ("size=64x64,128x64", ((64, 64), (128, 64))),
        ('prompt="a cat, a dog",a fox', ("a cat, a dog", "a fox")),
        ("sampler=DPM++ 2M Karras,euler", ("DPM++ 2M Karras", "euler")),
        (f"seed={2**53 + 1}-{2**53 + 2}", (2**53 + 1, 2**53 + 2)),
        ("steps=", None),
        ("steps=5,,6", None),
        ("steps=0", None),
        ("steps=5-1", None),
        ("steps=1-9 (+0)", None),
        ("steps=1-100000", None),
        ("strength=0-2", None),
        ("steps", None),
        ("eta=0..5-1", None),
    ],
)
def test_axes(text, values):
    if values is None:
        with pytest.raises(argparse.ArgumentTypeError):
            axis(text)
    else:
        assert axis(text).values == values


def test_a_random_seed_is_drawn_once_and_told():
    drawn = axis("seed=-1,3")
    assert drawn.labels == [f"Seed: {drawn.values[0]}", "Seed: 3"]


def test_every_picture_stands_in_its_place_and_labels_take_room():
    colours = [[(10 * i, 20 * j, 200) for i in range(3)] for j in range(2)]
    block = [[Image.new("RGB", (40, 30), colour) for colour in row] for row in colours]
    bare = draw_grid([block], ["", "", ""], ["", ""], [""])
    assert bare.size == (3 * 44 + 4, 2 * 34 + 4)
    for j, row in enumerate(colours):
        for i, colour in enumerate(row):
            assert bare.getpixel((4 + 44 * i, 4 + 34 * j)) == colour
            assert bare.getpixel((4 + 44 * i + 39, 4 + 34 * j + 29)) == colour
    labelled = draw_grid([block, block], ["one", "two", "three"], ["upper", "lower"], ["first", "second"])
    assert labelled.width > bare.width
    assert labelled.height > 2 * bare.height
    pixels = np.asarray(labelled)
    places = [np.argwhere((pixels == colour).all(2)) for colour in (colours[1][2],)]
    assert len(places[0]) == 2 * 40 * 30  # twice, whole, and under no label
    titled = draw_grid([block], ["", "", ""], ["", ""], ["a title that is far longer than its grid is wide"])
    assert titled.width == bare.width
    assert titled.height > bare.height + 20  # of several lines
    assert np.asarray(titled)[:, [0, -1]].min() == 255  # nothing is cut off at the sides


def test_long_labels_are_broken():
    font = ImageFont.load_default(12)
    lines = wrap("DPM++ 2M SDE Karras averyveryverylongwordindeed", font, 70)
    assert len(lines) > 2
    assert "".join(lines).replace(" ", "") == "DPM++2MSDEKarrasaveryveryverylongwordindeed"
    assert all(font.getlength(line) <= 70 for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--x", "sampler=euler,nonesuch"], "Sampler nonesuch: --sampler: no such sampler"),
        (["--x", "steps=5", "--y", "steps=6"], "stands on two of them"),
        (["--x", "strength=0.5"], "give that with --image"),
        (["--x", "steps=2,3", "--steps", "7"], "--steps: does nothing beside the axis over it"),
        (["--x", "size=64x64", "--size", "32x32"], "--size: does nothing beside the axis over it"),
        (["--x", "size=64x64,60x60"], "Size 60x60: --size: expected a multiple of 8"),
        (["--x", "eta=0.5", "--sampler", "euler"], "Eta 0.5"),
        (["--x", "seed=1-9", "--y", "steps=1-2", "--size", "2048x2048"], "expected at most"),
        (["--x", "steps=5", "--out", "a.gif"], "unknown suffix"),
    ],
)
def test_bad_values_are_refused_before_the_first_picture(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "latentrt.painting.generation.Generation.__next__", lambda self: pytest.fail("painted")
    )
    assert main(["sweep", "a red heart", "--device", "cpu", "--keep", "kept/", *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_schedule_means_what_generate_takes_it_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["a red heart", "--device", "cpu", "--size", "64x64", "--seed", "2", "--steps", "3", "--quiet"]
    sweep = ["--x", "schedule=karras,Automatic", "--y", "sampler=DPM++ 2M Karras,euler"]
    assert main(["sweep", *common, *sweep, "--keep", "kept/"]) == 0
    for number, options in enumerate(
        (
            ["--sampler", "dpmpp_2m", "--schedule", "karras"],
            ["--sampler", "dpmpp_2m karras"],
            ["--sampler", "euler", "--schedule", "karras"],
            ["--sampler", "euler"],
        ),
        1,
    ):
        assert main(["generate", *common, *options, "--out", f"{number}.png"]) == 0
        kept = tmp_path / f"kept/{number:05d}-2.png"
        assert np.array_equal(np.asarray(load_image(kept)), np.asarray(load_image(f"{number}.png")))


def test_what_holds_for_every_picture_means_what_generate_takes_it_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["a red heart", "--device", "cpu", "--size", "64x64", "--seed", "2", "--quiet", "--rng", "nv"]
    common += ["--schedule", "beta", "--guidance-scale", "6,2", "--guidance-rescale", "0.5"]
    common += ["--guidance-interval", "0,0.7"]
    assert main(["sweep", *common, "--x", "steps=3,4", "--keep", "kept/"]) == 0
    for number in (1, 2):
        assert main(["generate", *common, "--steps", str(number + 2), "--out", f"{number}.png"]) == 0
        kept = tmp_path / f"kept/{number:05d}-2.png"
        assert np.array_equal(np.asarray(load_image(kept)), np.asarray(load_image(f"{number}.png")))


def test_a_sweep_from_one_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "sweep",
        "a red heart",
        "--device",
        "cpu",
        "--size",
        "64x64",
        "--seed",
        "2",
        "--quiet",
        "--json",
    ]
    axes = ["--x", "sampler=euler,ddim", "--y", "steps=1,2", "--z", "guidance-scale=1,2"]
    assert main([*command, *axes, "--keep", "kept/"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["axes"]["y"] == {"type": "Steps", "values": ["1", "2"]}
    assert len(report["files"]) == 8
    grid = load_image(tmp_path / "sweep.png")
    assert grid.width > 2 * 64
    assert grid.height > 4 * 64
    kept = {}
    for path in report["files"]:
        p = parse_parameters(read_parameters(path))
        kept[p.sampler, p.steps, p.guidance_scale] = np.asarray(load_image(path))
        assert p.seed == 2
    assert len(kept) == 8
    # each is the picture that `generate` paints with those settings
    single = ["generate", "a red heart", "--device", "cpu", "--size", "64x64", "--seed", "2", "--quiet"]
    assert (
        main([*single, "--sampler", "ddim", "--steps", "2", "--guidance-scale", "2", "--out", "one.png"]) == 0
    )
    assert np.array_equal(kept["DDIM", 2, 2.0], np.asarray(load_image(tmp_path / "one.png")))
    extra = dict(parse_parameters(read_parameters(tmp_path / "sweep.png")).extra)
    assert (extra["Script"], extra["X Type"], extra["X Values"]) == ("X/Y/Z plot", "Sampler", "euler,ddim")
    assert (extra["Z Type"], extra["Z Values"]) == ("CFG Scale", "1,2")
    assert main(["generate", "--from", "sweep.png"]) == 2
    assert "is a grid of pictures over Sampler, Steps, CFG Scale" in capsys.readouterr().err
    assert main(["generate", "--from", report["files"][0], "--device", "cpu", "--out", "again.png"]) == 0
    assert np.array_equal(
        np.asarray(load_image(report["files"][0])), np.asarray(load_image(tmp_path / "again.png"))
    )
