"""The door by which files of a model come in: regular files within their kind's bounds, and nothing else."""

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt import signatures
from latentrt.errors import ModelError, WeightsError
from latentrt.files import CONFIG, MAX_DEPTH, TOKENIZER, Kind, open_regular, read_bytes, read_json, read_text
from latentrt.models.safetensors import read_header

READERS = (read_text, read_json, read_header, open_regular)
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


@pytest.mark.parametrize("read", READERS)
@unix
class TestWhatIsNoFile:
    def refused(self, read, path: Path, said: str) -> None:
        with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: {said}"):
            read(path)

    def test_a_pipe_is_not_waited_for(self, read, tmp_path):
        os.mkfifo(tmp_path / "a")
        (tmp_path / "link").symlink_to("a")
        self.refused(read, tmp_path / "a", "is a pipe; expected a file")
        self.refused(read, tmp_path / "link", "is a pipe; expected a file")

    def test_a_device_is_not_read(self, read, tmp_path):
        (tmp_path / "a").symlink_to("/dev/zero")
        self.refused(read, tmp_path / "a", "is a device; expected a file")

    def test_a_socket(self, read, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
            self.refused(read, tmp_path / "s", "is a socket; expected a file")

    def test_a_folder(self, read, tmp_path):
        self.refused(read, tmp_path, "is a folder; expected a file")

    def test_links_that_lead_nowhere(self, read, tmp_path):
        (tmp_path / "a").symlink_to("../blobs/x")
        self.refused(
            read, tmp_path / "a", r"is a link to \.\./blobs/x, which is not there; download the file again"
        )
        (tmp_path / "b").symlink_to("b")
        self.refused(read, tmp_path / "b", "cannot be opened")
        self.refused(read, tmp_path / "c", "no such file")
        self.refused(read, tmp_path / ("d" * 300), "cannot be opened")

    def test_names_that_no_file_can_have(self, read):
        with pytest.raises(ModelError, match="cannot be opened"):
            read(Path("a\0b"))

    def test_what_may_not_be_read(self, read, tmp_path, monkeypatch):
        def forbidden(*arguments):
            raise PermissionError(13, "Permission denied")

        (tmp_path / "a").touch()
        monkeypatch.setattr(os, "open", forbidden)
        self.refused(read, tmp_path / "a", r"cannot be opened \(Permission denied\)")

    def test_what_takes_its_place_meanwhile(self, read, tmp_path, monkeypatch):
        path, opened = tmp_path / "a", os.open
        path.write_text("{}")

        def exchanged(name, *arguments):
            path.unlink()
            os.mkfifo(path)
            return opened(name, *arguments)

        monkeypatch.setattr(os, "open", exchanged)
        self.refused(read, path, "is a pipe; expected a file")


class TestHowMuchIsRead:
    def test_a_giant_file_is_refused_unread(self, tmp_path):
        with (tmp_path / "c.json").open("wb") as file:
            file.truncate(1 << 40)  # sparse
        with pytest.raises(
            ModelError, match=r"c\.json: 1099511627776 bytes or more; expected at most 4194304"
        ):
            read_json(tmp_path / "c.json")
        with pytest.raises(ModelError, match="expected at most 67108864"):
            read_text(tmp_path / "c.json", kind=TOKENIZER)

    @pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux alone has such files")
    def test_a_file_that_says_it_is_empty(self):
        path = Path("/proc/self/maps")
        assert path.stat().st_size == 0
        with pytest.raises(ModelError, match="expected at most 100"):
            read_bytes(path, 100)
        assert len(read_bytes(path, 1 << 20)) > 100

    def test_the_limits_themselves(self, tmp_path):
        (tmp_path / "a").write_bytes(b"x" * 100)
        assert read_bytes(tmp_path / "a", 100) == b"x" * 100
        with pytest.raises(WeightsError, match="a: 100 bytes or more; expected at most 99"):
            read_bytes(tmp_path / "a", 99, WeightsError)

    def test_values_are_counted_before_they_are_made(self, tmp_path):
        kind = Kind(1 << 20, 100)
        (tmp_path / "a").write_text(json.dumps({"a": [0] * 99}))
        assert read_json(tmp_path / "a", kind=kind) == {"a": [0] * 99}
        for value in ({"a": [0] * 101}, {"a": [[]] * 51}, {str(n): n for n in range(101)}):
            (tmp_path / "a").write_text(json.dumps(value))
            with pytest.raises(ModelError, match="a: holds more than 100 values"):
                read_json(tmp_path / "a", kind=kind)

    @pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, 900, 100_000])
    def test_depth(self, tmp_path, depth):
        (tmp_path / "a").write_text('{"a":' + "[" * depth + "]" * depth + "}")
        if depth < MAX_DEPTH:
            assert "a" in read_json(tmp_path / "a")
        else:
            with pytest.raises(ModelError, match="a: (not valid JSON|holds more)"):
                read_json(tmp_path / "a")

    def test_none_is_none_where_it_may_be(self, tmp_path):
        assert read_json(tmp_path / "a", optional=True) == {}
        (tmp_path / "a").symlink_to("b")
        with pytest.raises(ModelError, match="a: is a link to b"):
            read_json(tmp_path / "a", optional=True)


@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:0.eE-\\u ntf', max_size=30).map(str.encode))
def test_any_bytes_are_json_or_an_error_of_ours(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(data)
    try:
        found = read_json(path)
    except ModelError as error:
        assert str(path) in str(error)
    else:
        assert found == json.loads(data) or "NaN" in data.decode()


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 3438167534\n"
INSTEAD = {
    "lfs": (LFS.encode(), "is a Git LFS pointer, not the file: run `git lfs pull`"),
    "html": (
        b"\n<!DOCTYPE html><html><title>Sign in</title>",
        "is an HTML page.*download it again, logged in",
    ),
    "html with a comment": (b"<!-- saved -->\n<html>", "is an HTML page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "is an XML page"),
    "empty": (b"", "is empty: a download broke off"),
    "zeros": (b"\0" * 600, "begins with nothing but zeros"),
    "gguf": (b"GGUF\x03\0\0\0" + b"\1" * 40, "is a GGUF file.*take the same model as safetensors"),
    "pickle": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9", "holds pickled weights.*python -c"),
    "new pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94", "holds pickled weights"),
    "zip of torch": (b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pklFB", "holds pickled weights"),
    "zip": (b"PK\x03\x04" + b"\0" * 26 + b"unet/config.json", "is a zip archive; unpack it"),
    "gzip": (b"\x1f\x8b\x08" + b"\1" * 40, "is a gzip archive"),
    "picture": (b"\x89PNG\r\n\x1a\n" + b"\1" * 40, "is a picture; name the model"),
}


@pytest.mark.parametrize("name", ["model.safetensors", "model.bin", "model"])
@pytest.mark.parametrize(("data", "said"), INSTEAD.values(), ids=INSTEAD)
def test_what_is_there_instead_is_named_whatever_its_name(tmp_path, data, said, name):
    (tmp_path / name).write_bytes(data)
    for read in (read_header, read_json):
        with pytest.raises(ModelError, match=f"{re.escape(name)}: {said}"):
            read(tmp_path / name)


@pytest.mark.parametrize("suffix", [".incomplete", ".part", ".crdownload", ".aria2"])
def test_downloads_that_are_not_done(tmp_path, suffix):
    (tmp_path / "a.safetensors").write_bytes(b"\0" * 64)
    (tmp_path / f"a.safetensors{suffix}").write_bytes(b"abcdefghijk")
    with pytest.raises(WeightsError, match=rf"is not whole: a\.safetensors{suffix} stands beside it"):
        read_header(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=rf"is the beginning of a download \({suffix}\)"):
        read_header(tmp_path / f"a.safetensors{suffix}")


@given(st.dictionaries(st.text(max_size=300), st.none(), max_size=1))
def test_no_safetensors_file_is_taken_for_something_else(tmp_path_factory, name):
    """A header may be 640 bytes long, which is how a pickle begins."""
    text = json.dumps({key: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for key in name}).encode()
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    for length in (640, 1152, len(text)):
        padded = text.ljust(length)
        path.write_bytes(len(padded).to_bytes(8, "little") + padded)
        assert list(read_header(path)) == list(name)
    assert (640).to_bytes(8, "little")[:2] == b"\x80\x02"


def test_the_head_is_enough(tmp_path):
    assert signatures.describe(tmp_path / "a", b"\x80\x02\x8a" * 100) is not None
    assert signatures.describe(tmp_path / "a", b"hello") is None
    assert CONFIG.max_bytes < TOKENIZER.max_bytes
