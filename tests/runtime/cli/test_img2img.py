"""`img2img` over a stand-in."""

from pathlib import Path

import pytest
from grey_pipeline import Asked
from PIL import Image

from latentrt.cli import main
from latentrt.pictures.images import read_parameters


def test_img2img(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (24, 16)).save("in.png")
    assert (
        main(["img2img", "cat", "--image", "in.png", "--strength", "0.25", "--out", "a.jpg", "--seed", "1"])
        == 0
    )
    assert asked.calls[1][:3] == ("img2img", "cat", (24, 16))
    assert asked.settings["strength"] == 0.25
    assert "Denoising strength: 0.25" in str(read_parameters("a.jpg"))


def test_a_picture_too_large_for_its_file_is_not_painted(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    """The size of img2img is its picture's, known only when the model's factor is."""
    Image.new("RGB", (16_400, 8)).save("in.png")
    assert main(["img2img", "cat", "--image", "in.png", "--out", "a.webp"]) == 2
    assert "16400x8 is too large for a WEBP file" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["in.png"]
