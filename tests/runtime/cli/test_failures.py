"""What fails beyond the caller's words: one line, exit code 1, nothing half-written."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from grey_pipeline import Asked

import latentrt
from latentrt.cli import main, optional
from latentrt.cli.console import fail
from latentrt.errors import ModelError, ProviderError


def test_failures_exit_with_1(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["img2img", "cat", "--image", "none.png"]) == 1
    assert capsys.readouterr().err == "latentrt: error: none.png: no such file\n"
    Path("text.png").write_text("text")
    assert main(["img2img", "cat", "--image", "text.png"]) == 1
    assert "not a picture that can be read here" in capsys.readouterr().err
    for error in (
        ModelError("no such model"),
        ProviderError("cuda: not here"),
        PermissionError(13, "Denied", "m"),
    ):

        def load(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setitem(vars(latentrt), "load", load)
        assert main(["generate", "cat"]) == 1
        last = capsys.readouterr().err
        expected = "m: Denied" if isinstance(error, PermissionError) else str(error)
        assert last == f"latentrt: error: {expected}\n"


def test_a_full_disk_is_said(
    asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["generate", "cat", "--out", "a.png", "--quiet"]) == 1
    assert capsys.readouterr().err == "latentrt: error: a.png: the disk is full\n"
    assert not list(Path().iterdir())


def test_a_command_whose_packages_are_missing_says_which(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needy.py").write_text(
        "def add_arguments(parser): parser.add_argument('x')\ndef run(args): import no_such_package\n"
    )
    (tmp_path / "needier.py").write_text("import no_such_package.part\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("needy", "needier"):
        monkeypatch.setitem(optional._MODULES, "export", module)
        assert main(["export", "x"]) == 1
        message = (
            "export: no_such_package is not installed; this command needs: pip install 'latentrt[export]'"
        )
        assert capsys.readouterr().err == f"latentrt: error: {message}\n"


def test_an_error_of_several_lines_is_said_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("unet: cpu failed:\n  no memory\n\n", 1) == 1
    assert capsys.readouterr().err == "latentrt: error: unet: cpu failed: no memory\n"


def test_without_onnxruntime() -> None:
    """The runtime's own extra is missing: doctor shows it, the others say what to install."""
    code = """
        import sys
        sys.modules["onnxruntime"] = None
        from latentrt.cli import main
        sys.exit(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run([*command, "generate", "x"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "latentrt: error: onnxruntime is not installed; this needs: pip install 'latentrt[cpu]'"
    )
    done = subprocess.run([*command, "doctor"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "nothing runs here: pip install 'latentrt[cpu]'" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout_is_an_error_without_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "latentrt", "doctor"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "latentrt: error: [Errno 28] No space left on device\n"


def test_a_reader_who_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "latentrt", "doctor", "--json"], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_without_stdout() -> None:
    done = subprocess.run(f"{sys.executable} -m latentrt doctor >&-", shell=True, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_words_and_paths_that_are_no_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8: refused in a prompt, kept in a path."""
    done = subprocess.run(
        [sys.executable, "-m", "latentrt", "encode", b"\xff.png", "--out", b"\xfe.safetensors"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 1
    assert done.stderr == b"latentrt: error: \\udcff.png: no such file\n"
    code = """
        import sys, latentrt
        from latentrt.cli import console
        console.take_any_path()
        print("\\udcff.png")
    """
    assert subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)]) == b"\xff.png\n"
