"""`--preview` and `--tile` on the command line."""

import pytest

from latentrt.cli import main
from latentrt.pictures.images import load_image

COMMAND = ["generate", "a red heart", "--device", "cpu", "--size", "64x64", "--seed", "2", "--out", "a.png"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_previews_in_one_file_or_in_a_folder(tmp_path, capsys):
    assert main([*COMMAND, "--steps", "3", "--preview", "now.png"]) == 0
    assert load_image(tmp_path / "now.png").size == (64, 64)
    assert "previews by linear in now.png" in capsys.readouterr().err
    assert main([*COMMAND, "--steps", "5", "--preview", "steps/", "--preview-every", "2", "--quiet"]) == 0
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == [
        "2-002.png",
        "2-004.png",
        "2-005.png",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview-every", "2"], "--preview-every: does nothing without --preview"),
        (["--preview", "a.xyz"], "unknown suffix"),
        (["--preview", "nowhere/a.png"], "no such folder"),
        (["--tile", "100"], "tile: expected auto, off or a multiple of 8 from 128 pixels"),
        (["--tile", "some"], "--tile: expected auto, off or a size in pixels, got 'some'"),
    ],
)
def test_what_cannot_be_is_refused(options, message, capsys):
    assert main([*COMMAND, *options]) == 2
    assert message in capsys.readouterr().err


def test_tiles_are_told(capsys):
    command = [*COMMAND, "--steps", "1", "--tile", "128", "--size", "192x128"]
    assert main(command) == 0
    assert "192x128 goes through the autoencoder in tiles of 128 pixels" in capsys.readouterr().err
    assert main([*command, "--tile", "off"]) == 0
    assert "tiles" not in capsys.readouterr().err
