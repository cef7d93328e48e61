"""A session that cannot be made is an error of ours: no second attempt on another provider, nothing on stdout."""

import ast
from pathlib import Path

import pytest
from onnxruntime.capi import _pybind_state

import latentrt
from latentrt.cli import main
from latentrt.engine.providers import choose, open_session
from latentrt.errors import ProviderError
from latentrt.networks.graph import identity_graph

PROBLEM = "pthread_create failed, error code: 11 error msg: Resource temporarily unavailable"


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sessions of C++, which all fail from now on as where no thread can be made."""
    made: list[str] = []
    choose("cpu")  # has been shown to run, and is remembered

    class Broken:
        def __init__(self, *_: object) -> None:
            made.append("made")

        def initialize_session(self, *_: object) -> None:
            raise RuntimeError(PROBLEM)

    monkeypatch.setattr(_pybind_state, "InferenceSession", Broken)
    return made


def test_it_is_tried_once_and_named(attempts: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderError, match="pthread_create failed"):
        open_session(identity_graph(), choose("cpu").session_options("fp32"))
    assert attempts == ["made"]
    assert capfd.readouterr() == ("", "")


def test_the_command_fails_with_one_line(
    attempts: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    assert (
        main(["generate", "a red heart", "--size", "64x64", "--device", "cpu", "--out", str(out), "--quiet"])
        == 1
    )
    printed, said = capfd.readouterr()
    assert printed == ""
    assert said.startswith("latentrt: error: text_encoder: cpu refused text_encoder") and PROBLEM in said
    assert len(said.splitlines()) == 1
    assert attempts == ["made"]
    assert not list(tmp_path.iterdir())


def test_sessions_are_made_in_one_place() -> None:
    root = Path(latentrt.__file__).parent
    makers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("InferenceSession")
    }
    assert makers == {"engine/providers.py"}
