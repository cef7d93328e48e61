"""Folders that appear whole or not at all, and only where nothing else has appeared meanwhile."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from latentrt.errors import InputError, LatentrtError
from latentrt_export.bundle.staging import staged


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def make(out, text="ours"):
    with staged(out) as new:
        (new / "weights").write_text(text)


def bundle(out, text="old"):
    (out / "unet").mkdir(parents=True)
    (out / "unet" / "weights").write_text(text)
    return out


@pytest.mark.parametrize("before", ["nothing", "empty", "bundle", "link"])
def test_what_stood_there_is_replaced(tmp_path, before):
    out = tmp_path / "out"
    if before == "empty":
        out.mkdir()
    elif before == "bundle":
        bundle(out)
    elif before == "link":
        out.symlink_to(bundle(tmp_path / "precious"))
    make(out)
    assert left(out) == ["weights"]
    assert not out.is_symlink()
    assert left(tmp_path) == (["out", "precious"] if before == "link" else ["out"])
    if before == "link":
        assert (tmp_path / "precious" / "unet" / "weights").read_text() == "old"


ANYWHERE = ["file", "folder", "empty folder", "link"]
APPEARS = {
    "nothing": ANYWHERE,
    "empty": [*ANYWHERE, "a file in it"],
    "bundle": [*ANYWHERE, "a file in it", "a file deep in it"],
}


@pytest.mark.parametrize(("before", "theirs"), [(b, t) for b, those in APPEARS.items() for t in those])
def test_what_has_appeared_meanwhile_is_left_alone(tmp_path, before, theirs):
    out = tmp_path / "v1.5"
    if before == "empty":
        out.mkdir()
    elif before == "bundle":
        bundle(out)
    message = r"v1\.5: something else has appeared.*the bundle is in .*v1\.5-2"
    with pytest.raises(LatentrtError, match=message), staged(out) as new:
        (new / "weights").write_text("ours")
        if not theirs.startswith("a file") and out.exists():
            out.rename(tmp_path / "aside")
        if theirs == "file":
            out.write_text("theirs")
        elif theirs == "link":
            out.symlink_to("nowhere")
        else:
            (out / "unet" if "deep" in theirs else out).mkdir(exist_ok=True)
            if theirs != "empty folder":
                (out / ("unet/theirs" if "deep" in theirs else "theirs")).write_text("theirs")
        shutil.rmtree(tmp_path / "aside", ignore_errors=True)
    assert left(tmp_path) == ["v1.5", "v1.5-2"]
    assert (tmp_path / "v1.5-2" / "weights").read_text() == "ours"
    if theirs == "file":
        assert out.read_text() == "theirs"
    elif theirs == "link":
        assert out.is_symlink()
    elif theirs == "empty folder":
        assert left(out) == []
    else:
        assert (out / ("unet/theirs" if "deep" in theirs else "theirs")).read_text() == "theirs"
        if before == "bundle" and theirs.startswith("a file"):
            assert (out / "unet" / "weights").read_text() == "old"


def test_of_two_at_once_the_second_is_refused_before_it_begins(tmp_path):
    out, began, end = tmp_path / "out", threading.Event(), threading.Event()

    def first():
        with staged(out) as new:
            began.set()
            end.wait(60)
            (new / "weights").write_text("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert began.wait(60)
    with pytest.raises(InputError, match=r"out: is being written already"), staged(out):
        pytest.fail("it may not begin")
    end.set()
    thread.join()
    assert (out / "weights").read_text() == "first"
    assert left(tmp_path) == ["out"]


@pytest.mark.parametrize("failure", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()])
def test_a_rename_that_fails_puts_back_what_was_there(tmp_path, monkeypatch, failure):
    out = bundle(tmp_path / "out")
    rename = Path.rename

    def fail(self, target):
        if self.name.endswith("-new") and target == out:
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises((LatentrtError, KeyboardInterrupt)), staged(out) as new:
        (new / "weights").write_text("new")
    assert left(tmp_path) == ["out"]
    assert (out / "unet" / "weights").read_text() == "old"


def test_folders_above_it_are_made_and_go_with_a_failure(tmp_path):
    out = tmp_path / "a" / "b" / "out"
    with pytest.raises(KeyboardInterrupt), staged(out):
        raise KeyboardInterrupt
    assert left(tmp_path) == []
    with pytest.raises(InputError, match="no"), staged(out, lambda target: refuse()):
        pytest.fail("it may not begin")
    assert left(tmp_path) == []
    make(out)
    assert left(out) == ["weights"]


def refuse():
    raise InputError("no")


def test_the_check_sees_what_stands_there_when_nobody_else_can_write(tmp_path):
    """So that of what is checked nothing can have changed when it is replaced."""
    out = bundle(tmp_path / "out")

    def add(target):
        (target / "theirs").write_text("theirs")

    with pytest.raises(LatentrtError, match="is in .*out-2"), staged(out, add) as new:
        (new / "weights").write_text("ours")
    assert left(out) == ["theirs", "unet"]
