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


@pytest.mark.parametrize(
    ("value", "off"), [("1", True), (" YES", True), ("0", False), ("2", False), ("", False)]
)
def test_doctor_tells_of_telemetry(
    value: str, off: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", value)
    assert main(["doctor", "--json"]) == 0
    telemetry = json.loads(capsys.readouterr().out)["telemetry"]
    assert telemetry == {"off": off, "set_by": f"ORT_DISABLE_TELEMETRY={value}"}
    assert main(["doctor"]) == 0
    assert (
        f"telemetry    {'off' if off else 'on'}, by ORT_DISABLE_TELEMETRY={value}" in capsys.readouterr().out
    )
