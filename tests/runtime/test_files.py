"""Files appear whole or not at all, with the rights that the user's mask leaves."""

import os
import stat
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from latentrt.files import atomic_write


@pytest.fixture(params=[0o077, 0o022])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def write(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"new")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_file_has_the_rights_that_the_mask_leaves(tmp_path: Path, mask: int) -> None:
    write(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o666 & ~mask


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_nor_do_the_files_of_other_threads_have_more(
    tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    umask = os.umask

    def slowly(
        mask: int,
    ) -> int:  # the mask is the whole process's: who changes it, even for an instant, is caught
        before = umask(mask)
        time.sleep(0.001)
        return before

    monkeypatch.setattr(os, "umask", slowly)

    def both(number: int) -> None:
        write(tmp_path / f"ours-{number}")
        (tmp_path / f"theirs-{number}").touch()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(both, range(400)))
    assert {mode(path) for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_what_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        write(tmp_path / "none" / "a")
