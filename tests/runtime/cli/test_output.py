"""Where pictures go: names for one and for many, never over another picture unless that very file was named."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from latentrt.cli import output as output_module
from latentrt.cli.output import Output, plan
from latentrt.errors import InputError
from latentrt.pictures.images import load_image

GREY = Image.new("RGB", (8, 8), "grey")


def names(out: str | None, count: int, folder: Path, seeds: list[int]) -> list[str]:
    """Write `count` pictures as the command does; tell their names."""
    output = plan(None if out is None else str(folder) + "/" + out, count)
    output.check()
    written = []
    for seed in seeds:
        path = output.save(GREY, seed)
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


@pytest.mark.parametrize("out", ["a.png", "x{seed}.png", "folder/"])
def test_two_at_a_time_never_take_one_name(tmp_path: Path, out: str) -> None:
    def paint(_: int) -> list[Path]:
        output = plan(f"{tmp_path}/{out}", 2)
        return [output.save(GREY, seed) for seed in (7, 8)]

    with ThreadPoolExecutor(8) as pool:
        paths = [path for pair in pool.map(paint, range(8)) for path in pair]
    assert len(set(paths)) == 16
    for path in paths:
        assert load_image(path).size == (8, 8)


def test_a_name_that_is_taken_at_the_last_moment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes between the look for a free name and the taking of it."""
    find = Output.next_path

    def slow(self: Output, seed: int) -> Path:
        path = find(self, seed)
        if len(list(tmp_path.iterdir())) == 0:
            path.write_bytes(b"theirs")
        return path

    monkeypatch.setattr(Output, "next_path", slow)
    assert plan(f"{tmp_path}/a.png", 2).save(GREY, 7).name == "a-2.png"
    assert (tmp_path / "a-1.png").read_bytes() == b"theirs"


def test_a_picture_that_fails_gives_its_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for out, left in (("a-{seed}.png", []), ("b.png", ["b.png"])):
        (tmp_path / "b.png").write_bytes(b"old") if left else None
        with pytest.raises(OSError, match=r"No space left on device: '.*\.png'"):
            plan(f"{tmp_path}/{out}", 1).save(GREY, 7)
        assert [path.name for path in tmp_path.iterdir()] == left


def test_a_link_to_nowhere_takes_its_name(tmp_path: Path) -> None:
    (tmp_path / "x7.png").symlink_to(tmp_path / "none")
    assert names("x{seed}.png", 1, tmp_path, [7]) == ["x7-2.png"]


def test_a_name_that_is_too_long_is_said_before(tmp_path: Path) -> None:
    longest = output_module._MAX_NAME_BYTES
    assert names("a" * (longest - 4) + ".png", 1, tmp_path, [7])
    for bad in ("a" * longest + ".png", "ä" * 110 + ".png", "a" * 200 + "{seed}.png"):
        with pytest.raises(InputError, match="file name of at most"):
            plan(f"{tmp_path}/{bad}", 1).check()
