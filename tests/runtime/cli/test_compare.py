"""`latentrt compare`: the same seed twice, and what is told of it."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from latentrt.cli import main
from latentrt.pictures.difference import difference, psnr
from latentrt.pictures.images import read_parameters

WORDS = ["compare", "a small green ring", "--steps", "20", "--device", "cpu"]


def levels(*values):
    return Image.fromarray(np.array(values, np.uint8).reshape(1, 1, 3))


def test_psnr_and_difference_are_what_they_say():
    assert psnr(levels(0, 0, 0), levels(0, 0, 0)) == math.inf
    assert psnr(levels(0, 0, 0), levels(255, 255, 255)) == 0
    assert psnr(levels(10, 20, 30), levels(13, 20, 30)) == pytest.approx(10 * math.log10(255**2 / 3))
    for apart, factor in ((0, 64), (3, 64), (4, 32), (100, 2), (128, 1), (255, 1)):
        picture, times = difference(levels(0, 7, 0), levels(apart, 7, 0))
        assert times == factor
        assert picture.getpixel((0, 0)) == (apart * factor, 0, 0)


def test_it_paints_both_from_one_seed_and_tells_what_was_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "--seed", "5", "--fast", "cache=2.5,guidance=0-0.5", "--json", "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    exact, fast = report["exact_run"], report["fast_run"]
    assert (exact["evaluations"], exact["guided"]) == (20, 20)
    assert fast["evaluations"] == 8
    assert 0 < fast["guided"] < 8
    assert report["times_faster"] == pytest.approx(exact["seconds"] / fast["seconds"])
    assert 20 < report["psnr"] < 60
    assert (report["seed"], report["fast"], report["settings"]["seed"]) == (5, "cache=2.5,guidance=0-0.5", 5)
    assert "Fast" in str(read_parameters("compare.png"))
    sheet = np.asarray(Image.open("compare.png"))
    assert main(["generate", "--from", "compare.png", "--out", "fast.png", "--quiet"]) == 0
    one = np.asarray(Image.open("fast.png"))
    top, left = sheet.shape[0] - 4 - 128, 4 + 128 + 4
    assert np.array_equal(sheet[top : top + 128, left : left + 128], one)


def test_without_a_recipe_there_is_nothing_to_compare(asked, capsys):
    for words in ([], ["--fast", "off"], ["--fast", "cache=1"]):
        assert main(["compare", "x", *words]) == 2
        assert "--fast: expected a level or a recipe to compare with" in capsys.readouterr().err
    assert main(["compare", "x", "--fast", "balanced", "--taesd", "x"]) == 2
    assert main(["sweep", "x", "--x", "fast=off,balanced", "--taesd", "x"]) == 2
    assert capsys.readouterr().err.count("--taesd: does nothing without --fast decoder=taesd") == 2
    assert asked.calls == []
