"""Virtual environments, made whole or not at all, and used again where they are what is asked for."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import latentrt_bench
from latentrt import __version__
from latentrt_bench.peers.catalogue import Environment

MARKER = "latentrt-bench.json"  # written last: without it, a folder is a half-made environment
INSTALL_LIMIT_S = 3600.0
SHORT_LIMIT_S = 300.0
TAIL_LINES = 4


class PreparationError(Exception):
    """An environment or an export could not be made. The message says why, on one line, and names the log."""


@dataclass(frozen=True)
class Made:
    """An environment that is there.

    Attributes:
        python: its interpreter.
        key: changes with whatever is asked to be installed.
        packages: all that is installed: distribution → version.
        installed_bytes: of all its files but pip's.
    """

    python: Path
    key: str
    packages: dict[str, str]
    installed_bytes: int


def make_environment(name: str, environment: Environment, folder: Path) -> Made:
    """Make an environment below `folder`, or find it there.

    Raises:
        PreparationError: something could not be installed.
    """
    requirements = [_resolve(requirement) for requirement in environment.requirements]
    key = _key(environment, requirements)
    home = folder / f"{name}-{key}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    marker = home / MARKER
    if not marker.is_file():
        shutil.rmtree(home, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _install(python, environment, requirements, home, folder / f"{name}.log")
            packages = _packages(python)
            facts = {"packages": packages, "installed_bytes": installed_bytes(home)}
            marker.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
    facts = json.loads(marker.read_text(encoding="utf-8"))
    return Made(python, key, facts["packages"], facts["installed_bytes"])


def run_logged(command: Sequence[str | Path], log: Path, limit_s: float, what: str) -> None:
    """Run a command to its end, its output into `log`; however this ends, nothing of it goes on.

    Raises:
        PreparationError: it failed, took longer than `limit_s`, or could not be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"$ {' '.join(map(str, command))}\n".encode())
        file.flush()
        start = file.tell()
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise PreparationError(f"{what}: {error}") from None
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise PreparationError(f"{what}: given up after {limit_s:.0f} s; see {log}") from None
        finally:
            with contextlib.suppress(OSError):  # gone already
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()
    if code != 0:
        with log.open("rb") as file:
            file.seek(start)
            said = file.read().decode("utf-8", "replace")
        raise PreparationError(f"{what}: exit code {code}: {last_lines(said)}; see {log}")


def last_lines(said: str) -> str:
    """What a failed command ended with, on one line: pip's and Python's own words for it where there are such."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return " ".join((errors or lines)[-TAIL_LINES:]) or "it said nothing"


def clean_environment() -> dict[str, str]:
    """Our variables without those that would let packages of ours into another Python; nothing asks a model hub."""
    ours = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return ours | {"PYTHONNOUSERSITE": "1", "HF_HUB_OFFLINE": "1"}


def installed_bytes(home: Path) -> int:
    """The size of an environment's files, bytecode too, without pip, which whoever deploys can leave out."""
    total = 0
    for folder, folders, files in os.walk(home):
        folders[:] = [name for name in folders if name != "pip" and not name.startswith("pip-")]
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)  # noqa: PTH118
    return total


def source_tree() -> Path | None:
    """The root of the source tree that this runs from; None where it is installed."""
    root = Path(latentrt_bench.__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "runtime" / "latentrt").is_dir() else None


def _resolve(requirement: str) -> str:
    """A requirement, where "latentrt[…]" becomes the latentrt that runs this: its source tree, or its version."""
    if not requirement.startswith("latentrt["):
        return requirement
    root = source_tree()
    return f"{requirement}=={__version__}" if root is None else f"{requirement} @ {root.as_uri()}"


def _key(environment: Environment, requirements: Iterable[str]) -> str:
    digest = hashlib.sha256(repr((sys.version, *requirements, *environment.removed)).encode())
    root = source_tree()
    if root is not None and any("@ file:" in requirement for requirement in requirements):
        files = [root / "pyproject.toml"]
        for part in ("runtime", "export"):
            files += sorted(p for p in (root / part).rglob("*") if p.is_file() and p.suffix != ".pyc")
        for file in files:
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _install(
    python: Path, environment: Environment, requirements: Sequence[str], home: Path, log: Path
) -> None:
    log.unlink(missing_ok=True)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run_logged([sys.executable, "-m", "venv", home], log, SHORT_LIMIT_S, "venv")
    # Python 3.11 puts it there unasked; who needs it gets it again.
    run_logged([*pip, "uninstall", "--yes", "setuptools"], log, SHORT_LIMIT_S, "pip")
    run_logged([*pip, "install", *requirements], log, INSTALL_LIMIT_S, "pip")
    if environment.removed:
        run_logged([*pip, "uninstall", "--yes", *environment.removed], log, SHORT_LIMIT_S, "pip")


def _packages(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SHORT_LIMIT_S, env=clean_environment(), check=False
    )
    if done.returncode != 0:
        raise PreparationError(f"pip list: exit code {done.returncode}: {last_lines(done.stderr)}")
    listed = json.loads(done.stdout)
    return {normalized(entry["name"]): entry["version"] for entry in listed if entry["name"] != "pip"}


def normalized(name: str) -> str:
    """A distribution's name as packaging's standards write it (PEP 503): pip lists it as its makers do."""
    return re.sub(r"[-_.]+", "-", name).lower()
