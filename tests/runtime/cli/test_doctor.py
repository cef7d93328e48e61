"""`doctor`."""

import json

import pytest

import latentrt
from latentrt.cli import main


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in facts["providers"]} == {"cuda", "openvino", "cpu"}
    assert all(entry["reason"] for entry in facts["providers"])
    first = next(entry["name"] for entry in facts["providers"] if entry["available"])
    assert facts["auto"]["device"] == first
    assert facts["latentrt"] == latentrt.__version__
    assert main(["doctor"]) == 0
    assert f"--device {first}" in capsys.readouterr().out
