"""How many threads compute: asked for, or as many cores as this process may use."""

import os
import subprocess
import sys

import numpy as np
import pytest

import latentrt
from latentrt.cli import main
from latentrt.engine.machine import Cores
from latentrt.engine.networks import place
from latentrt.engine.threads import threads_here
from latentrt.errors import InputError


@pytest.mark.parametrize(
    ("asked", "environ", "here", "number"),
    [
        (3, "5", Cores(16, 8, held=True), 3),
        (None, "5", Cores(16, 8, held=True), 5),
        (None, "", Cores(16, 8, held=True), 8),
        (None, "", Cores(16, 8, held=True, quota=2), 2),
        (None, "", Cores(16, 8, held=True, quota=12), 8),
        (None, "", Cores(16, 16, quota=4), 4),
        (None, "", Cores(16, 16, quota=16), None),
        (None, "", Cores(16, 16), None),
    ],
)
def test_what_is_asked_counts_before_what_may_be_used(asked, environ, here, number):
    assert threads_here(asked, {"LATENTRT_THREADS": environ}, here).number == number


@pytest.mark.parametrize("number", [0, -1, 1025, 2.0, True, "2"])
def test_no_number_of_threads(number):
    with pytest.raises(InputError, match="threads: expected a whole number from 1 to 1024"):
        place("cpu", threads=number)


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "²"])
def test_no_number_in_the_environment(text, monkeypatch):
    monkeypatch.setenv("LATENTRT_THREADS", text)
    with pytest.raises(InputError, match="LATENTRT_THREADS: expected a whole number from 1 to 1024"):
        place("cpu")


def test_sessions_are_told():
    options = place("cpu", threads=3).provider.session_options("fp32")
    assert options.intra_op_num_threads == 3


def test_the_command_refuses_none(capsys):
    assert main(["generate", "a red heart", "--threads", "0"]) == 2
    assert "--threads: expected a whole number from 1 to 1024, got '0'" in capsys.readouterr().err


@pytest.mark.parametrize(("dtype", "most"), [("fp32", 1e-5), ("int8", 5e-3)])
def test_pictures_are_the_same_to_rounding(dtype, most):
    """Products of few rows, as in the text encoder, are cut in other places, so that sums run in another order."""
    pictures = []
    for threads in (1, 3):
        with latentrt.load(device="cpu", dtype=dtype, threads=threads, cache=False) as pipeline:
            painted = pipeline.txt2img("a red heart", width=64, height=64, num_inference_steps=1, seed=1)
            pictures.append(painted.latents)
    np.testing.assert_allclose(pictures[0], pictures[1], rtol=0, atol=most)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core cannot be held to fewer")
def test_no_thread_leaves_the_cores_that_the_process_is_held_to():
    """ONNX Runtime's own threads would: it ties one to each core of the machine."""
    code = """
import os
core = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {core})
from latentrt.engine.networks import place
from latentrt.engine.providers import open_session
from latentrt.networks.graph import identity_graph
provider = place("cpu").provider
session = open_session(identity_graph(), provider.session_options("fp32"))
masks = {frozenset(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")}
print(provider.threads, masks <= {frozenset({core})})
"""
    # numpy's threads are its own affair
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "LATENTRT_THREADS": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert done.stdout == "1 True\n", done.stderr
