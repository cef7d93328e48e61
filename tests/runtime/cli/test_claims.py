"""The command line's files: claimed before a model is loaded, and never put over what has appeared meanwhile."""

from pathlib import Path
from typing import Any

import pytest
from grey_pipeline import Asked, GreyPipeline
from PIL import Image

import latentrt
from latentrt.claim import claim_file
from latentrt.cli import main
from latentrt.models.weights import read_safetensors
from latentrt.pictures.images import load_image

COMMANDS = {
    "generate": ["generate", "cat", "--quiet", "--out", "a.png"],
    "sweep": ["sweep", "cat", "--x", "steps=1,2", "--quiet", "--out", "a.png"],
    "encode": ["encode", "picture.png", "--quiet", "--out", "a.safetensors"],
    "decode": ["decode", "latents.safetensors", "--quiet", "--out", "a.png"],
}


@pytest.fixture
def here(asked: Asked, tmp_path: Path) -> Path:
    """The command's folder, with something to encode and to decode."""
    Image.new("RGB", (16, 16)).save(tmp_path / "picture.png")
    assert main(["encode", "picture.png", "--quiet", "--out", "latents.safetensors"]) == 0
    asked.calls.clear()
    return tmp_path


def out_of(command: str) -> Path:
    return Path(COMMANDS[command][-1])


def left(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.iterdir() if path.name not in ("picture.png", "latents.safetensors")
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_being_written_is_refused_before_a_model_is_loaded(
    command: str, here: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    out = out_of(command)
    with claim_file(out):
        assert main(COMMANDS[command]) == 2
    assert f"error: {out}: is being written already, by another process" in capsys.readouterr().err
    assert asked.calls == []
    assert left(here) == []


@pytest.mark.filterwarnings("default::latentrt.claim.TargetTaken")
@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_appears_meanwhile_is_left_alone(
    command: str,
    before: str | None,
    here: Path,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = out_of(command)
    if before is not None:
        out.write_text(before)

    def load(model: str, **options: Any) -> GreyPipeline:
        out.write_text("theirs")
        return GreyPipeline(asked)

    monkeypatch.setitem(vars(latentrt), "load", load)
    capsys.readouterr()
    assert main(COMMANDS[command]) == 0
    printed, said = capsys.readouterr()
    other = out.with_stem("a-2")
    assert printed == f"{other}\n"
    assert (
        f"latentrt: warning: {out}: something else stands there by now, and is left alone; written to {other}"
        in said
    )
    assert out.read_text() == "theirs"
    assert left(here) == [other.name, out.name]
    assert read_safetensors(other) if command == "encode" else load_image(other).size


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_that_was_named_is_replaced(command: str, here: Path) -> None:
    out = out_of(command)
    out.write_text("old")
    assert main(COMMANDS[command]) == 0
    assert left(here) == [out.name]
    assert out.read_bytes() != b"old"


def test_one_name_for_two_outputs_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMANDS["generate"], "--preview", "a.png"]) == 2
    assert (
        "a.png: is being written already, by another process or under the same name twice"
        in capsys.readouterr().err
    )
    assert left(here) == []


def test_what_a_killed_command_left_goes_with_the_next(here: Path) -> None:
    for name in ("00001-7.png", "other.png"):
        (here / f".{name}.latentrt-lock").touch()
        (here / f".{name}.latentrt-new").write_text("half")
    (here / ".hidden").write_text("theirs")
    assert main(COMMANDS["generate"]) == 0
    assert left(here) == [".hidden", "a.png"]
