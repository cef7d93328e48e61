"""`--help` and `--version`: all commands, and nothing heavy imported."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest

import latentrt
from latentrt.cli import main, optional
from latentrt.cli.main import COMMANDS


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "latentrt", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_help_lists_every_command_without_importing_anything_heavy() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for name in COMMANDS:
        assert f"    {name}" in shown.stdout
    code = """
        import sys
        from latentrt.cli import main
        main(["--help"])
        heavy = {"numpy", "onnxruntime", "PIL", "tokenizers", "tqdm", "torch", "google.protobuf"} & set(sys.modules)
        sys.exit(f"imported {heavy}" if heavy else 0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in optional.COMMANDS])
def test_every_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"examples:\n  latentrt {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(optional.COMMANDS))
def test_help_of_an_optional_command_imports_nothing_of_torch(name: str) -> None:
    code = f"""
        import sys
        from latentrt.cli import main
        assert main([{name!r}, "--help"]) == 0
        heavy = {{"torch", "diffusers", "transformers", "onnx", "onnxruntime"}} & set(sys.modules)
        sys.exit(f"imported {{heavy}}" if heavy else 0)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"examples:\n  latentrt {name}" in shown.stdout


def test_version() -> None:
    assert run("--version").stdout == f"latentrt {latentrt.__version__}\n"
