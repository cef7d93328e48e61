"""`--fast`: on the command line, in the picture's text and back, and as an axis of a sweep."""

import json

from latentrt import Fast
from latentrt.cli import main
from latentrt.pictures.images import read_parameters


def test_the_command_line_paints_tells_and_repeats_it(asked, capsys):
    words = ["generate", "x", "--seed", "3", "--steps", "20", "--out", "a.png", "--json", "--quiet"]
    assert main([*words, "--fast", "cache=2.5,guidance=0-0.75"]) == 0
    assert asked.settings["fast"] == Fast(cache=2.5, guidance=(0, 0.75))
    assert json.loads(capsys.readouterr().out)["settings"]["fast"] == "cache=2.5,guidance=0-0.75"
    assert main(["info", "a.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["fast"] == "cache=2.5,guidance=0-0.75"
    assert main(["generate", "--from", "a.png", "--out", "b.png", "--quiet"]) == 0
    assert read_parameters("a.png") == read_parameters("b.png")
    assert main(["generate", "--from", "a.png", "--fast", "off", "--out", "b.png", "--quiet"]) == 0
    assert asked.settings["fast"] == Fast()
    assert "Fast" not in str(read_parameters("b.png"))
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--fast", "quick"]) == 2
    assert "--fast: expected off, one of light, balanced" in capsys.readouterr().err


def test_a_sweep_goes_over_recipes(asked):
    assert main(["sweep", "x", "--x", 'fast=off,balanced,"cache=3,guidance=0-0.5"', "--quiet"]) == 0
    assert [settings["fast"] for settings in asked.runs] == [
        Fast(),
        Fast(cache=2.2),
        Fast(cache=3, guidance=(0, 0.5)),
    ]
