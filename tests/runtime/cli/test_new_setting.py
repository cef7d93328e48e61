"""A setting that is declared is all that it takes: every face has it."""

import argparse
import json
from dataclasses import dataclass, field

import pytest
from grey_pipeline import MODEL, Asked, GreyPipeline

import latentrt
from latentrt.cli import main, options
from latentrt.errors import SettingError
from latentrt.painting.kinds import Flag, Number
from latentrt.painting.parameters import parameters_of
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.request_maker import make_request
from latentrt.painting.setting import Entry, Option, Setting, declared, documented, entries, record
from latentrt.pictures.images import read_parameters

SHARPNESS = Setting(
    kind=Number(0, 1),
    help="how sharp, 0 to 1.",
    default=0.0,
    option=Option("--sharpness", "F", "how sharp: 0 to 1"),
    entries=(Entry("Sharpness"),),
    axis="Sharpness",
)


@pytest.fixture(autouse=True)
def sharpness(monkeypatch: pytest.MonkeyPatch) -> None:
    for of in RUNS.values():
        monkeypatch.setitem(declared(of), "sharpness", SHARPNESS)


def test_python_checks_and_tells_it() -> None:
    pipeline = GreyPipeline(Asked())
    with pytest.raises(SettingError, match="sharpness: expected a number from 0 to 1, got 2") as caught:
        pipeline.start_txt2img("x", sharpness=2)
    assert (caught.value.setting, caught.value.expected, caught.value.got) == (
        "sharpness",
        "a number from 0 to 1",
        2,
    )
    assert pipeline.start_txt2img("x").request.settings["sharpness"] == 0
    request = make_request(MODEL, "txt2img", "x", sharpness=0.25)
    assert request.settings["sharpness"] == 0.25
    (parameters,) = parameters_of(request, MODEL)
    assert ("Sharpness", "0.25") in parameters.extra
    assert parameters.told["sharpness"] == 0.25
    assert "sharpness: how sharp, 0 to 1. Default: 0.0." in documented(RUNS["txt2img"], "Settings.")


@pytest.mark.parametrize("command", ["generate x", "img2img x --image in.png"])
def test_the_command_line_has_it_and_tells_it(
    command: str, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "x", "--size", "8x8", "--out", "in.png", "--quiet"]) == 0
    assert main([*command.split(), "--help"]) == 0
    assert "how sharp: 0 to 1 (default: 0)" in capsys.readouterr().out
    words = [*command.split(), "--seed", "3", "--out", "a.png", "--json", "--quiet"]
    assert main([*words, "--sharpness", "0.5"]) == 0
    assert asked.settings["sharpness"] == 0.5
    assert json.loads(capsys.readouterr().out)["settings"]["sharpness"] == 0.5
    assert "Sharpness: 0.5" in str(read_parameters("a.png"))
    assert main([*words, "--sharpness", "2"]) == 2
    assert "--sharpness: expected a number from 0 to 1, got '2'" in capsys.readouterr().err
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["sharpness"] is None


def test_it_comes_back_from_a_picture(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "x", "--seed", "3", "--sharpness", "0.5", "--out", "a.png", "--quiet"]) == 0
    assert latentrt.recall(str(read_parameters("a.png")))["sharpness"] == 0.5
    assert main(["generate", "--from", "a.png", "--out", "b.png", "--quiet"]) == 0
    assert asked.settings["sharpness"] == 0.5
    assert read_parameters("a.png") == read_parameters("b.png")
    assert main(["generate", "--from", "a.png", "--sharpness", "0", "--out", "b.png", "--quiet"]) == 0
    assert asked.settings["sharpness"] == 0


def test_a_sweep_has_it_as_axis_and_as_option(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "x", "--x", "sharpness=0-1 [3]", "--steps", "2", "--json", "--quiet"]) == 0
    assert [settings["sharpness"] for settings in asked.runs] == [0, 0.5, 1]
    assert json.loads(capsys.readouterr().out)["axes"]["x"]["type"] == "Sharpness"
    assert main(["sweep", "x", "--x", "steps=2,3", "--sharpness", "0.5", "--quiet"]) == 0
    assert [settings["sharpness"] for settings in asked.runs[3:]] == [0.5, 0.5]


def test_a_dataclass_declares_as_well() -> None:
    @dataclass
    class Pass:
        soft: bool = field(
            default=False,
            metadata={
                "setting": Setting(
                    Flag("On", "Off"),
                    "softly.",
                    option=Option("--pass-soft"),
                    entries=(Entry("Pass", "pass_soft"),),
                )
            },
        )

    parser = argparse.ArgumentParser()
    options.add_options(parser, Pass)
    assert options.given(parser.parse_args([]), Pass) == {}
    given = options.given(parser.parse_args(["--pass-soft"]), Pass)
    assert given == {"soft": True}
    assert record(Pass, vars(Pass(**given))) == {"pass_soft": True}
    assert entries(Pass, {"pass_soft": True}) == {"Pass": (True, "On")}
    assert entries(Pass, record(Pass, vars(Pass()))) == {}
