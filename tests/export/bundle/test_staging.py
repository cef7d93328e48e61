"""Folders that appear whole or not at all, and what a killed process leaves."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentrt.errors import LatentrtError
from latentrt_export.bundle.staging import staged, sweep

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fcntl, and sweep nothing to go by")

# Fills a folder, says so and waits to be killed: before the renames, between them, or after both.
CODE = """
import pathlib, shutil, sys, time
from latentrt_export.bundle import staging
out, when = pathlib.Path(sys.argv[1]), sys.argv[2]
def wait(*args, **options):
    print("waiting", flush=True)
    time.sleep(600)
rename = pathlib.Path.rename
if when == "between":
    pathlib.Path.rename = lambda self, to: wait() if to == out else rename(self, to)
if when == "after":
    shutil.rmtree = wait
with staging.staged(out) as new:
    (new / "weights").write_text("new")
    if when == "filling":
        wait()
"""


def left(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def process_at(tmp_path):
    """Start a process that replaces `tmp_path/out`, and wait until it has come to that moment."""
    started = []

    def start(when):
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path / "out"), when], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "waiting\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("when", ["filling", "between", "after"])
def test_what_a_killed_process_left_is_swept(tmp_path, process_at, when):
    out = tmp_path / "out"
    out.mkdir()
    (out / "weights").write_text("old")
    process = process_at(when)
    others = [".out.part", ".out.short.part", ".out.x.abcdefgh.part", ".outer.abcdefgh.part"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".out.afile000.part").touch()
    others = sorted([*others, ".out.afile000.part"])
    before = left(tmp_path)
    sweep(out)
    assert left(tmp_path) == before  # it lives
    process.kill()
    process.wait()
    sweep(out)
    assert left(tmp_path) == [*others, "out"]
    assert (out / "weights").read_text() == ("new" if when == "after" else "old")


def test_what_took_the_place_meanwhile_stays(tmp_path, process_at):
    out = tmp_path / "out"
    out.mkdir()
    process = process_at("between")
    process.kill()
    process.wait()
    out.mkdir()
    (out / "weights").write_text("newest")
    sweep(out)
    assert left(tmp_path) == ["out"]
    assert (out / "weights").read_text() == "newest"


@pytest.mark.parametrize("failure", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()])
def test_a_rename_that_fails_puts_back_what_was_there(tmp_path, monkeypatch, failure):
    out = tmp_path / "out"
    out.mkdir()
    (out / "weights").write_text("old")
    rename = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises((LatentrtError, KeyboardInterrupt)), staged(out) as new:
        (new / "weights").write_text("new")
    assert left(tmp_path) == ["out"]
    assert (out / "weights").read_text() == "old"
