"""`verify`: what it prints of a report."""

import json

import pytest

from latentrt.cli import main


def test_verify_tells_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from latentrt.engine import verify

    good = verify.Replay("unet", "fp32", 1e-6, 2e-6, 1e-4)
    bad = verify.Replay("unet", "fp16", float("inf"), float("inf"), 2e-2, "Fail: no such operator")
    for report, code in (
        (verify.Report(3, (), (), (), (good,)), 0),
        (verify.Report(3, ("a.onnx",), (), ("b.json",), (good, bad)), 1),
    ):
        monkeypatch.setattr(verify, "verify_bundle", lambda path, progress, report=report: report)
        assert main(["verify", "somewhere", "--json"]) == code
        facts = json.loads(capsys.readouterr().out)
        assert facts["ok"] == (code == 0)
        assert facts["components"][0]["max_abs"] == 1e-6
        assert main(["verify", "somewhere"]) == code
        out, err = capsys.readouterr()
        assert ("missing  a.onnx" in out, "Fail: no such operator" in out) == (code == 1, code == 1)
        assert err == ("latentrt: error: somewhere: is not what was exported\n" if code else "")
