"""Where pictures go: names for one and for many, never over another picture unless that very file was named."""

from pathlib import Path

import pytest

from latentrt.cli.output import plan
from latentrt.errors import InputError


def names(out: str | None, count: int, folder: Path, seeds: list[int]) -> list[str]:
    """Write `count` pictures as the command does; tell their names."""
    output = plan(None if out is None else str(folder) + "/" + out, count)
    output.check()
    written = []
    for seed in seeds:
        path = output.next_path(seed)
        path.write_bytes(b"")
        written.append(path.relative_to(folder).as_posix())
    return written


def test_one_named_file_is_replaced(tmp_path: Path) -> None:
    assert names("a.png", 1, tmp_path, [7]) == names("a.png", 1, tmp_path, [8]) == ["a.png"]


def test_several_are_numbered_and_go_on(tmp_path: Path) -> None:
    assert names("a.png", 3, tmp_path, [7, 8, 9]) == ["a-1.png", "a-2.png", "a-3.png"]
    assert names("a.png", 2, tmp_path, [7, 8]) == ["a-4.png", "a-5.png"]


def test_placeholders(tmp_path: Path) -> None:
    assert names("x{seed}.jpg", 2, tmp_path, [7, 8]) == ["x7.jpg", "x8.jpg"]
    assert names("x{seed}.jpg", 1, tmp_path, [7]) == ["x7-2.jpg"]
    assert names("x{seed}.jpg", 1, tmp_path, [7]) == ["x7-3.jpg"]
    assert names("{index:03d}_{seed}_{index}.webp", 2, tmp_path, [7, 8]) == ["001_7_1.webp", "002_8_2.webp"]
    assert names("{index:03d}_{seed}_{index}.webp", 1, tmp_path, [9]) == ["003_9_3.webp"]
    assert names("{seed:08d}{other}%d.png", 1, tmp_path, [7]) == ["00000007{other}%d.png"]


def test_a_folder(tmp_path: Path) -> None:
    assert names("new/deep/", 2, tmp_path, [7, 8]) == ["new/deep/00001-7.png", "new/deep/00002-8.png"]
    assert names("new/deep", 1, tmp_path, [7]) == ["new/deep/00003-7.png"]
    (tmp_path / "new/deep/00041-x.png").touch()  # not one of ours
    assert names("new/deep", 1, tmp_path, [7]) == ["new/deep/00004-7.png"]


def test_without_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = plan(None, 1)
    output.check()
    assert output.next_path(7) == Path("latentrt-7.png")
    Path("latentrt-7.png").touch()
    assert output.next_path(7) == Path("latentrt-7-2.png")


def test_checks_make_nothing(tmp_path: Path) -> None:
    plan(f"{tmp_path}/new/", 1).check()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no such folder to write into"):
        plan(f"{tmp_path}/none/a.png", 1).check()
    with pytest.raises(InputError, match="no such folder to write into"):
        plan(f"{tmp_path}/file/a.png", 1).check()
    for bad in ("a.xyz", "a", "a.gif", "a-{seed}"):
        with pytest.raises(InputError, match=r"expected one of \.png"):
            plan(f"{tmp_path}/{bad}", 1).check()
    if Path("/proc/self").is_dir():
        with pytest.raises(OSError, match="/proc/self"):
            plan("/proc/self/a.png", 1).check()
