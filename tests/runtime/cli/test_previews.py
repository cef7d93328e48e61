"""`--preview` and `--tile` on the command line."""

import pytest

from latentrt.cli import main, previews
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


def test_previews_replace_one_file_that_was_named_and_no_other(tmp_path, capsys):
    (tmp_path / "now.png").write_text("old")
    assert main([*COMMAND, "--steps", "2", "--preview", "now.png", "--quiet"]) == 0
    assert load_image(tmp_path / "now.png").size == (64, 64)
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "2-001.png").write_text("theirs")
    assert main([*COMMAND, "--steps", "1", "--preview", "steps/", "--quiet"]) == 0
    assert (tmp_path / "steps" / "2-001.png").read_text() == "theirs"
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["2-001-2.png", "2-001.png"]


@pytest.mark.filterwarnings("default::latentrt.claim.TargetTaken")
def test_a_preview_that_finds_something_else_in_its_place_goes_on_beside_it(tmp_path, monkeypatch, capsys):
    show = previews.Previews.show

    def meanwhile(self, step, seeds):
        if step.index == 1:
            (tmp_path / "now.png").write_text("theirs")
        show(self, step, seeds)

    monkeypatch.setattr(previews.Previews, "show", meanwhile)
    assert main([*COMMAND, "--steps", "4", "--preview", "now.png"]) == 0
    assert (tmp_path / "now.png").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "now-2.png", "now.png"]
    assert capsys.readouterr().err.count("now.png: something else stands there by now") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview-every", "2"], "--preview-every: does nothing without --preview"),
        (["--taesd", "x"], "--taesd: does nothing without --preview, or --fast decoder=taesd"),
        (
            ["--fast", "decoder=taesd"],
            "--fast: decoder=taesd: there is none; expected the folder of diffusers' Auto",
        ),
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
