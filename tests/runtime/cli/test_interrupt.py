"""Ctrl-C."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import latentrt
from latentrt.cli import main


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
    import sys, time
    from concurrent.futures import ThreadPoolExecutor
    from types import SimpleNamespace
    import latentrt
    from latentrt.cli import main

    class Stuck:
        total = 3
        request = SimpleNamespace(width=8, height=8, output_size=(8, 8), seeds=None)
        autoencoder = SimpleNamespace(tiling=lambda height, width: None)
        model = None
        def __enter__(self): return self
        def __exit__(self, *exception): pass
        def start_txt2img(self, prompt, **settings): return self
        def __iter__(self):
            # As a session does it: the native call in a worker, waited for even when interrupted.
            future = ThreadPoolExecutor(1).submit(time.sleep, 30)
            print("computing", file=sys.stderr, flush=True)
            try:
                future.result()
            finally:
                {waits}
            yield

    latentrt.load = lambda *_, **__: Stuck()
    sys.argv = ["latentrt", "generate", "cat"]
    sys.exit(main())
"""


@pytest.mark.parametrize("waits", ["future.result()", "pass"])
def test_ctrl_c_in_the_middle_of_a_step(tmp_path: Path, waits: str) -> None:
    """Also where the native call cannot be stopped and goes on for half a minute."""
    code = textwrap.dedent(STUCK).format(waits=waits)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "computing\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)
    assert not list(tmp_path.iterdir())
