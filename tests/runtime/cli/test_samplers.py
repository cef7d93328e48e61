"""`latentrt samplers`, and sigma schedules asked for and recalled on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentrt import samplers
from latentrt.cli import main
from latentrt.pictures.images import read_parameters
from latentrt.pictures.metadata import parse_parameters


def test_the_table_fits_and_every_name_in_it_resolves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 100
    listed = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert listed == samplers.names()


def test_as_json_it_has_what_each_name_fixes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplers", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [schedule["comfyui"] for schedule in report["schedules"]] == list(samplers.SCHEDULE_LABELS)
    for row in report["samplers"]:
        for name in (row["name"], row["comfyui"], row["automatic1111"]):
            if name is None or (name != row["name"] and name in samplers.names()):
                continue  # a canonical name is its own: `deis` is diffusers', whatever ComfyUI calls so
            sampler = samplers.resolve(name, {})
            assert (sampler.key, sampler.spec.class_name) == (row["name"], row["diffusers"])
            assert {key: sampler.options[key] for key in row["options"]} == row["options"]
        for schedule in report["schedules"] if row["takes_schedules"] else []:
            assert (
                samplers.resolve(row["name"], {}, schedule["comfyui"]).sigma_schedule == schedule["comfyui"]
            )
            assert samplers.resolve(f"{row['name']} {schedule['automatic1111']}", {}).key == row["name"]


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        (["--sampler", "Euler a", "--schedule", "karras"], None),
        (["--sampler", "dpmpp_2m", "--schedule", "Karras"], "karras"),
        (["--sampler", "heun sgm_uniform"], None),
        (["--sampler", "DPM++ 2M SDE Exponential"], None),
    ],
)
def test_a_picture_keeps_its_schedule(
    asked: list[str],
    stored: str | None,
    random_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--model", str(random_model), "--device", "cpu", "--quiet"]
    command = ["generate", "a red heart", "--seed", "5", "--steps", "3", "--size", "64x64", *common]
    assert main([*command, *asked, "--out", "a.png"]) == 0
    assert dict(parse_parameters(str(read_parameters("a.png"))).extra).get(samplers.SCHEDULE_ENTRY) == stored
    assert main(["generate", "--from", "a.png", *common, "--out", "b.png"]) == 0
    assert read_parameters("a.png") == read_parameters("b.png")
    with Image.open("a.png") as a, Image.open("b.png") as b:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    other = ["--schedule", "kl_optimal"]
    assert main(["generate", "--from", "a.png", *common, *other, "--out", "c.png"]) == 0
    assert parse_parameters(str(read_parameters("c.png"))).schedule_type == "KL Optimal"


def test_a_schedule_that_a_sampler_cannot_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "x", "--sampler", "pndm", "--schedule", "karras"]) == 2
    assert "sigmas of its own" in capsys.readouterr().err
    assert main(["generate", "x", "--schedule", "wavy"]) == 2
    assert "linear_quadratic" in capsys.readouterr().err
