"""Ctrl-C, and other signals that ask a command to end."""

import contextlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import latentrt
from latentrt.cli import console, main


def test_ctrl_c_while_a_native_module_is_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pybind11 makes an ImportError of the KeyboardInterrupt."""

    def interrupted(*_args: Any, **_settings: Any) -> None:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr(latentrt, "load", interrupted)
    assert main(["generate", "cat"]) == 130
    assert capsys.readouterr().err == "latentrt: interrupted\n"


STUCK = """
    import signal, sys, time
    from concurrent.futures import ThreadPoolExecutor
    from types import SimpleNamespace
    import latentrt
    from latentrt.cli import console, main
    from latentrt.painting import preview

    console.GRACE_SECONDS = {grace}
    for name in {ignored}:
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    class Stuck:
        total = 3
        request = SimpleNamespace(width=8, height=8, output_size=(8, 8), seeds=None)
        autoencoder = SimpleNamespace(tiling=lambda height, width: None)
        model = networks = None
        def __enter__(self): return self
        def __exit__(self, *exception): pass
        def start_txt2img(self, prompt, **settings): return self
        def __iter__(self):
            # As a session does it: the native call in a worker, waited for even when interrupted.
            future = ThreadPoolExecutor(1).submit(time.sleep, {seconds})
            print("computing", file=sys.stderr, flush=True)
            try:
                future.result()
            finally:
                {waits}
            yield

    latentrt.load = lambda *_, **__: Stuck()
    preview.make_preview = lambda *_: SimpleNamespace(name="no")
    sys.argv = ["latentrt", "generate", "cat", "--out", "a.png", "--preview", "b.png", "--quiet"]
    sys.exit(main())
"""


@contextlib.contextmanager
def stuck(
    folder: Path,
    waits: str = "pass",
    grace: float = 1.5,
    seconds: float = 30.0,
    ignored: tuple[str, ...] = (),
) -> Iterator["subprocess.Popen[str]"]:
    """A command in the middle of a step, with two files claimed."""
    text = textwrap.dedent(STUCK).format(waits=waits, grace=grace, seconds=seconds, ignored=ignored)
    with subprocess.Popen(
        [sys.executable, "-c", text], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "computing\n"
            assert len(list(folder.glob(".*.latentrt-lock"))) == 2
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("waits", ["future.result()", "pass"])
def test_ctrl_c_in_the_middle_of_a_step(tmp_path: Path, waits: str) -> None:
    """Also where the native call cannot be stopped and goes on for half a minute."""
    with stuck(tmp_path, waits) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "latentrt: interrupted")
    assert not list(tmp_path.iterdir())


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")


@POSIX
@pytest.mark.parametrize("waits", ["future.result()", "pass"])
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_other_signals_end_it_alike(tmp_path: Path, waits: str, name: str, code: int) -> None:
    with stuck(tmp_path, waits, grace=0.3) as process:
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert (out, err.strip()) == ("", f"latentrt: ended by {name}")
    assert not list(tmp_path.iterdir())


@POSIX
@pytest.mark.parametrize(
    "names", [("SIGINT", "SIGINT"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGHUP", "SIGTERM")]
)
def test_a_second_signal_ends_it_at_once_and_leaves_nothing_either(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    with stuck(tmp_path, "future.result()", grace=600.0) as process:
        for name in names:
            process.send_signal(getattr(signal, name))
            time.sleep(0.2)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + getattr(signal, names[0])
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@POSIX
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_what_is_ignored_stays_so(tmp_path: Path, name: str) -> None:
    """As SIGHUP is under nohup, and SIGINT in the background."""
    with stuck(tmp_path, seconds=1.0, ignored=(name,)) as process:
        process.send_signal(getattr(signal, name))
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM if name != "SIGTERM" else signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == (143 if name != "SIGTERM" else 130)


@POSIX
def test_a_command_in_somebody_s_process_leaves_their_signals_alone() -> None:
    with console.ends_at_signals(last=False):
        for name in ("SIGTERM", "SIGHUP"):
            assert signal.getsignal(getattr(signal, name)) == signal.SIG_DFL
