"""Nothing leaves the machine, and nothing is kept of what would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GENERATE = ["generate", "a red heart", "--size", "64x64", "--steps", "1", "--device", "cpu", "--out", "a.png"]
VARIABLE = "ORT_DISABLE_TELEMETRY"


def environment(home: Path, **more: str) -> dict[str, str]:
    """A user's without a cache, and with nothing said of telemetry."""
    home.mkdir(exist_ok=True)
    left_out = ("XDG_CACHE_HOME", VARIABLE)
    return {k: v for k, v in os.environ.items() if k not in left_out} | {"HOME": str(home), **more}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_run_leaves_nothing_at_home(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "latentrt", *GENERATE]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(tmp_path / "home"), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == ["a.png"]


def test_a_run_opens_no_socket(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: connections cannot be seen")
    trace = [strace, "-f", "-e", "trace=network", "-o", "trace"]
    if subprocess.run(
        [*trace, sys.executable, "-c", "0"], cwd=tmp_path, capture_output=True, check=False
    ).returncode:
        pytest.skip("strace may not trace here")
    see = "import socket; socket.socket()"
    subprocess.run([*trace, sys.executable, "-c", see], cwd=tmp_path, capture_output=True, check=True)
    assert "socket(" in (tmp_path / "trace").read_text()  # what is looked for would be seen
    command = [*trace, sys.executable, "-m", "latentrt", *GENERATE]
    subprocess.run(command, cwd=tmp_path, env=environment(tmp_path / "home"), capture_output=True, check=True)
    assert (tmp_path / "a.png").is_file()
    assert "socket(" not in (tmp_path / "trace").read_text()


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0"), ("", ""), ("yes", "yes")])
def test_a_value_of_the_user_s_stays(tmp_path: Path, given: str | None, expected: str) -> None:
    env = environment(tmp_path, **({} if given is None else {VARIABLE: given}))
    code = f"import os, latentrt; print(repr(os.environ[{VARIABLE!r}]))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{expected!r}\n"
