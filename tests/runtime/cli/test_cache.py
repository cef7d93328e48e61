"""`latentrt cache` and `--no-cache`."""

import json
import os

import pytest

from latentrt.cli import main

KEYS = ("a" * 40, "b" * 40)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder with two networks of about 1 and 2 MB, the second used first."""
    monkeypatch.setenv("LATENTRT_CACHE", str(tmp_path))
    root = tmp_path / "prepared"
    for index, key in enumerate(KEYS, 1):
        (root / key).mkdir(parents=True)
        said = {"format": 1, "key": key, "component": f"network {index}", "source": ["/a.safetensors"]}
        (root / key / "entry.json").write_text(json.dumps(said))
        (root / key / "model.data").write_bytes(bytes([1]) * 10**6 * index)
        os.utime(root / key / "entry.json", (10**9 * index, 10**9 * index))
    return root


def facts(capsys, *arguments):
    assert main(["cache", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list(kept, capsys):
    said = facts(capsys)
    assert (said["folder"], said["limit"], said["removed"]) == (str(kept), 30 * 10**9, [])
    assert [one["component"] for one in said["kept"]] == ["network 2", "network 1"]
    assert said["size"] == sum(one["size"] for one in said["kept"]) >= 3 * 10**6
    assert said["kept"][1] | {"size": 0} == {
        "key": KEYS[0], "component": "network 1", "source": ["/a.safetensors"], "size": 0, "used": 10**9,
    }  # fmt: skip
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{kept}: 0.0 of at most 30.0 GB"
    assert lines[1].endswith("network 2, of /a.safetensors")


def test_prune(kept, capsys):
    assert facts(capsys, "prune")["removed"] == []
    said = facts(capsys, "prune", "2.5MB")
    assert [one["component"] for one in said["removed"]] == ["network 1"]
    assert [path.name for path in kept.iterdir()] == [KEYS[1]]


def test_clear(kept, capsys):
    said = facts(capsys, "clear")
    assert (len(said["removed"]), said["kept"], said["size"]) == (2, [], 0)
    assert list(kept.iterdir()) == []
    assert facts(capsys, "clear")["removed"] == []


def test_no_folder_yet(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LATENTRT_CACHE", str(tmp_path / "none"))
    for what in ("list", "prune", "clear"):
        assert facts(capsys, what)["kept"] == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "problem"),
    [
        (["list", "1GB"], {}, "SIZE: goes with prune alone, got '1GB' with list"),
        (["prune", "much"], {}, "SIZE: expected a size as 30GB or 500MB, got 'much'"),
        ([], {"LATENTRT_CACHE": "off"}, "LATENTRT_CACHE is 'off': nothing is kept"),
        ([], {"LATENTRT_CACHE_SIZE": "much"}, "LATENTRT_CACHE_SIZE: expected a size as 30GB or 500MB"),
    ],
)
def test_wrong_usage(kept, monkeypatch, capsys, arguments, environ, problem):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["cache", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_one_that_others_may_write_is_left_alone(kept, capsys):
    kept.chmod(0o777)
    assert main(["cache", "clear"]) == 1
    assert "others may write there" in capsys.readouterr().err
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize(("options", "cache"), [([], True), (["--no-cache"], False)])
def test_commands_that_load_may_leave_it_out(asked, options, cache):
    assert main(["generate", "a star", *options]) == 0
    assert [call[2]["cache"] for call in asked.calls if call[0] == "load"] == [cache]


def test_doctor_tells_it(kept, capsys, monkeypatch):
    assert main(["doctor"]) == 0
    assert f"cache        0.0 of at most 30.0 GB, {kept}" in capsys.readouterr().out
    monkeypatch.setenv("LATENTRT_CACHE", "off")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cache"] is None
