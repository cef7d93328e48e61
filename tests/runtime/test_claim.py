"""Claims: nothing of a stranger's is lost, and nothing half made of ours stays."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt import moves
from latentrt.claim import Claim, TargetTaken, claim_file, draft, put_new, release_all, scratch, sweep
from latentrt.errors import InputError
from latentrt.files import atomic_write

# Claims a file or folder, fills it, says so and waits to be killed.
CODE = """
import pathlib, sys, time
from latentrt.claim import Claim
target, kind = pathlib.Path(sys.argv[1]), sys.argv[2]
def wait(*_):
    print("waiting", flush=True)
    time.sleep(600)
with Claim(target, replaces=True) as claim:
    if kind == "claimed":
        wait()
    if kind == "file":
        with claim.open() as file:
            file.write(b"half")
            file.flush()
            wait()
    claim.new.mkdir()
    (claim.new / "weights").write_text("new")
    if kind == "folder":
        wait()
    from latentrt import claim as module
    if kind == "between":
        module.move_new = wait
    if kind == "after":
        module.remove = wait
    claim.appear()
"""


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(claim: Claim, text: str = "ours") -> Path:
    return claim.write(lambda file: file.write(text.encode()))


Start = Callable[[Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that claims a target, and wait until it has come to that moment."""
    started = []

    def start(target: Path, kind: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(target), kind], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "waiting\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class TestAppearing:
    def test_a_new_file_appears_and_nothing_else(self, tmp_path: Path) -> None:
        with claim_file(tmp_path / "a.png") as claim:
            assert not (tmp_path / "a.png").exists()
            assert write(claim) == tmp_path / "a.png"
        assert left(tmp_path) == ["a.png"]
        assert (tmp_path / "a.png").read_text() == "ours"

    def test_what_stood_there_is_replaced_and_again(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        with claim_file(tmp_path / "a") as claim:
            for text in ("first", "second"):
                assert write(claim, text) == tmp_path / "a"
                assert (tmp_path / "a").read_text() == text
        assert left(tmp_path) == ["a"]

    @pytest.mark.parametrize("before", [None, "old"])
    @pytest.mark.parametrize("by", ["write", "rename", "folder", "link"])
    def test_what_has_appeared_meanwhile_is_left_alone(
        self, tmp_path: Path, before: str | None, by: str
    ) -> None:
        target = tmp_path / "a.b.png"
        if before is not None:
            target.write_text(before)
        with claim_file(target) as claim:
            if by == "write":
                target.write_text("theirs")
            elif by == "rename":
                (tmp_path / "x").write_text("theirs")
                (tmp_path / "x").replace(target)
            else:
                target.unlink(missing_ok=True)
                target.mkdir() if by == "folder" else target.symlink_to("nowhere")
            standing = moves.standing_at(target)
            with pytest.warns(TargetTaken, match=r"a\.b\.png: something else stands there.*a\.b-2\.png"):
                assert write(claim) == tmp_path / "a.b-2.png"
        assert moves.standing_at(target) == standing
        assert (tmp_path / "a.b-2.png").read_text() == "ours"
        assert left(tmp_path) == ["a.b-2.png", "a.b.png"]

    def test_what_has_gone_meanwhile_is_no_hindrance(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        with claim_file(tmp_path / "a") as claim:
            (tmp_path / "a").unlink()
            assert write(claim) == tmp_path / "a"
        assert left(tmp_path) == ["a"]

    def test_without_leave_nothing_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")
        with claim_file(tmp_path / "a", replaces=False) as claim, pytest.warns(TargetTaken):
            assert write(claim) == tmp_path / "a-2"
        assert (tmp_path / "a").read_text() == "old"

    def test_a_link_is_replaced_and_what_it_leads_to_stays(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "a").symlink_to("precious")
        with claim_file(tmp_path / "a") as claim:
            write(claim)
        assert not (tmp_path / "a").is_symlink()
        assert (tmp_path / "precious").read_text() == "precious"

    def test_the_process_may_go_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "there").mkdir()
        monkeypatch.chdir(tmp_path)
        with claim_file(Path("a")) as claim:
            monkeypatch.chdir(tmp_path / "there")
            assert write(claim) == Path("a")
        assert left(tmp_path) == ["a", "there"] and left(tmp_path / "there") == []

    def test_without_hard_links_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def unsupported(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", unsupported)

        def paint(number: int) -> Path:
            with draft(tmp_path / "a") as claim:
                with claim.open() as file:
                    file.write(b"%d" % number)
                names = (tmp_path / f"a-{n}" for n in range(1000))
                return put_new(claim, lambda: next(path for path in names if not path.exists()))

        with ThreadPoolExecutor(8) as pool:
            written = list(pool.map(paint, range(40)))
        assert [path.read_text() for path in written] == [str(number) for number in range(40)]
        assert len(left(tmp_path)) == 40

    def test_no_file_of_size_0_is_ever_seen(self, tmp_path: Path) -> None:
        seen, done = set(), threading.Event()

        def look() -> None:
            while not done.is_set():
                for path in tmp_path.glob("[!.]*"):
                    with contextlib.suppress(FileNotFoundError):
                        seen.add(path.stat().st_size)

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            for number in range(100):
                with draft(tmp_path / "a") as claim:
                    with claim.open() as file:
                        file.write(b"12345")
                    put_new(claim, lambda number=number: tmp_path / f"a-{number}")  # type: ignore[misc]
                with atomic_write(tmp_path / "b") as file:
                    file.write(b"12345")
        finally:
            done.set()
            watcher.join()
        assert seen == {5}


class TestClaiming:
    def test_a_second_claim_is_refused(self, tmp_path: Path, start: Start) -> None:
        process = start(tmp_path / "a", "claimed")
        with pytest.raises(InputError, match=r"a: is being written already, by another process"):
            claim_file(tmp_path / "a")
        with claim_file(tmp_path / "b"):  # of another target is none of its business
            pass
        process.kill()
        process.wait()
        with claim_file(tmp_path / "a") as claim:
            write(claim)
        assert left(tmp_path) == ["a"]

    def test_of_many_at_once_one_has_it(self, tmp_path: Path) -> None:
        barrier, enough = threading.Barrier(8), threading.Barrier(8)

        def claim(_: int) -> bool:
            barrier.wait()
            try:
                with Claim(tmp_path / "a"):
                    enough.wait()
                    return True
            except InputError:
                enough.wait()
                return False

        for _ in range(2):
            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(claim, range(8))) == 1
            assert left(tmp_path) == []

    @pytest.mark.parametrize("what", ["folder", "device", "pipe"])
    def test_what_is_no_file_is_refused(self, tmp_path: Path, what: str) -> None:
        target = tmp_path / "a"
        if what == "folder":
            target.mkdir()
        elif not hasattr(os, "mkfifo"):
            pytest.skip("no such things here")
        elif what == "pipe":
            os.mkfifo(target)
        else:
            target.symlink_to(os.devnull)
        for claim in (claim_file, lambda path: atomic_write(path).__enter__()):
            with pytest.raises(InputError, match="expected the name of a file"):
                claim(target)
        assert left(tmp_path) == ["a"]

    def test_what_is_protected_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a").touch(mode=0o444)
        monkeypatch.setattr(
            os, "access", lambda path, mode: path != tmp_path / "a"
        )  # root may write everything
        with pytest.raises(InputError, match="write-protected"):
            claim_file(tmp_path / "a")

    def test_a_folder_that_takes_no_files_is_named(self) -> None:
        if not Path("/proc/self").is_dir():
            pytest.skip("no such folder here")
        with pytest.raises(OSError, match="/proc/self/a"):
            claim_file(Path("/proc/self/a"))

    def test_a_file_system_without_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fcntl = pytest.importorskip("fcntl")

        def unsupported(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", unsupported)
        with claim_file(tmp_path / "a") as claim:
            with pytest.raises(FileExistsError, match="no locks: remove it if nothing is being written"):
                claim_file(tmp_path / "a")
            write(claim)
        assert left(tmp_path) == ["a"]


class TestLeftovers:
    @pytest.mark.parametrize("kind", ["claimed", "file", "folder", "between", "after"])
    def test_what_a_killed_process_left_is_swept(self, tmp_path: Path, start: Start, kind: str) -> None:
        out = tmp_path / "out"
        if kind in ("between", "after"):
            out.mkdir()
            (out / "weights").write_text("old")
        process = start(out, kind)
        before = left(tmp_path)
        assert ".out.latentrt-lock" in before
        sweep(tmp_path)
        assert left(tmp_path) == before  # it lives
        process.kill()
        process.wait()
        sweep(tmp_path)
        assert left(tmp_path) == (["out"] if kind in ("between", "after") else [])
        if kind in ("between", "after"):
            assert (out / "weights").read_text() == ("new" if kind == "after" else "old")

    def test_what_took_the_place_meanwhile_stays(self, tmp_path: Path, start: Start) -> None:
        out = tmp_path / "out"
        out.mkdir()
        process = start(out, "between")
        process.kill()
        process.wait()
        out.mkdir()
        (out / "weights").write_text("newest")
        sweep(tmp_path)
        assert left(tmp_path) == ["out"]
        assert (out / "weights").read_text() == "newest"

    @given(st.text("ab.-latentrockw0", min_size=1, max_size=30).filter(lambda name: name not in (".", "..")))
    def test_no_file_of_a_stranger_is_touched(
        self, tmp_path_factory: pytest.TempPathFactory, name: str
    ) -> None:
        folder = tmp_path_factory.mktemp("strangers")
        (folder / name).write_text("theirs")
        (folder / f".{name}.latentrt-new").write_text("theirs")  # without a lock
        (folder / ".x.latentrt-lock").write_text("theirs")  # ours are empty
        (folder / ".y.latentrt-lock").mkdir()
        (folder / ".z.latentrt-lock").symlink_to(name)
        before = moves.standing_at(folder)
        sweep(folder)
        assert moves.standing_at(folder) == before

    def test_a_stranger_in_the_lock_s_place_is_named(self, tmp_path: Path) -> None:
        (tmp_path / ".a.latentrt-lock").write_text("theirs")
        with pytest.raises(FileExistsError, match=r"is in the way.*\.a\.latentrt-lock"):
            claim_file(tmp_path / "a")
        assert (tmp_path / ".a.latentrt-lock").read_text() == "theirs"

    @pytest.mark.parametrize("failure", [OSError(errno.EIO, os.strerror(errno.EIO)), KeyboardInterrupt()])
    def test_a_failure_leaves_nothing(self, tmp_path: Path, failure: BaseException) -> None:
        (tmp_path / "a").write_text("old")
        with pytest.raises(type(failure)), claim_file(tmp_path / "a") as claim, claim.open() as file:
            file.write(b"half")
            raise failure
        assert left(tmp_path) == ["a"]
        assert (tmp_path / "a").read_text() == "old"

    def test_an_interrupt_while_the_claim_is_made_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flock = "flock" if os.name != "nt" else "locking"
        module = pytest.importorskip("fcntl" if os.name != "nt" else "msvcrt")
        lock = getattr(module, flock)
        calls = iter([KeyboardInterrupt()])

        def interrupted(*arguments: object) -> object:
            for error in calls:
                raise error
            return lock(*arguments)

        monkeypatch.setattr(module, flock, interrupted)
        with pytest.raises(KeyboardInterrupt):
            claim_file(tmp_path / "a")
        assert left(tmp_path) == []

    def test_all_that_is_claimed_can_be_given_up_at_once(self, tmp_path: Path) -> None:
        first, second = claim_file(tmp_path / "a"), Claim(tmp_path / "b")
        first.new.write_text("half")
        second.new.mkdir()
        (second.new / "weights").write_text("half")
        release_all()
        assert left(tmp_path) == []
        first.release()  # as the `with` that is left behind would

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
    def test_a_forked_process_gives_up_nothing_of_its_parent_s(self, tmp_path: Path) -> None:
        with claim_file(tmp_path / "a") as claim:
            claim.new.write_text("half")
            with warnings.catch_warnings(action="ignore"):  # of threads
                pid = os.fork()
            if pid == 0:
                claim.release()
                release_all()
                os._exit(0)
            os.waitpid(pid, 0)
            assert left(tmp_path) == [".a.latentrt-lock", ".a.latentrt-new"]

    def test_a_folder_that_somebody_goes_on_filling_is_gone(self, tmp_path: Path) -> None:
        stop, filled = threading.Event(), threading.Event()
        claim = Claim(tmp_path / "out")
        claim.new.mkdir()

        def fill() -> None:
            number = 0
            while not stop.is_set():
                try:
                    (claim.new / f"{number}").touch()
                except FileNotFoundError:
                    return
                number += 1
                filled.set()

        thread = threading.Thread(target=fill)
        thread.start()
        filled.wait()
        claim.release()
        stop.set()
        thread.join()
        assert left(tmp_path) == []

    def test_a_scratch_folder_goes(self, tmp_path: Path) -> None:
        with scratch(tmp_path, "work") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700 or os.name == "nt"
            (folder / "weights").write_text("x")
        assert left(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_a_claimed_file_has_the_rights_that_the_mask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        (tmp_path / "0").touch(mode=0o600)  # what is replaced

        def paint(number: int) -> None:
            with claim_file(tmp_path / str(number)) as claim:
                write(claim)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(paint, range(50)))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_nobody_reads_the_mask_by_setting_it() -> None:
    """It is the whole process's: another thread's file would be readable to all for a moment."""
    import latentrt

    root = Path(latentrt.__file__).parents[2]
    folders = [root / name for name in ("runtime", "export", "benchmarks") if (root / name).is_dir()]
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        assert "umask(" not in path.read_text(encoding="utf-8"), path
