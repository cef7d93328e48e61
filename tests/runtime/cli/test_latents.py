"""`encode` and `decode` over a stand-in."""

import pytest
from grey_pipeline import Asked
from PIL import Image

from latentrt.cli import main


def test_encode_takes_the_models_multiples(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 17)).save("in.png")
    assert main(["encode", "in.png", "--out", "l.safetensors", "--size", "20x16"]) == 2
    assert "expected multiples of 8 for this model, got 20x16" in capsys.readouterr().err


def test_encode_and_decode(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (30, 17)).save("in.png")
    assert main(["encode", "in.png", "--out", "l.safetensors", "--seed", "3"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("l.safetensors\n", "resized from 30x17 to 24x16\n")
    assert ("encode", (24, 16), 3) in asked.calls
    assert main(["decode", "l.safetensors", "--out", "d.png"]) == 0
    assert ("decode", (1, 4, 2, 3)) in asked.calls
    assert capsys.readouterr().out == "d.png\n"
    with Image.open("d.png") as image:
        assert image.size == (8, 8)


def test_minus_one_draws_a_seed(asked: Asked) -> None:
    Image.new("RGB", (8, 8)).save("in.png")
    for words, drawn in (([], False), (["--seed", "-1"], True)):
        assert main(["encode", "in.png", "--out", "l.safetensors", "--quiet", *words]) == 0
        seed = next(call[2] for call in reversed(asked.calls) if call[0] == "encode")
        assert (seed is not None) == drawn
