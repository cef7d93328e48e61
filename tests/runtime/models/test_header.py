"""The header of a safetensors file is read member by member: what json says, or an error of ours, in bounded memory."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import WeightsError
from latentrt.models import header
from latentrt.models.header import open_header
from latentrt.models.safetensors import read_header, read_whole_header, write_safetensors


def file_of(path: Path, text: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def members(path: Path) -> dict[str, object]:
    with open_header(path) as (found, _, _):
        return dict(found)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("header")


@pytest.fixture(params=[(1, 1), (7, 3), (1 << 16, 256)])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of the text is in memory at a time."""
    monkeypatch.setattr(header, "_CHUNK", request.param[0])
    monkeypatch.setattr(header, "_USUAL_BYTES", request.param[1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.dictionaries(st.text(max_size=8), JSON, max_size=4) | st.fixed_dictionaries(
    {"__metadata__": st.dictionaries(st.text(max_size=8), st.text(), max_size=3) | JSON, "a": JSON}
)


@pytest.mark.usefixtures("windows")
@given(HEADERS, st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(0, 70))
def test_it_says_what_json_says(scratch, value, indent, ascii_only, spaces):
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which is no UTF-8
        return
    assert members(file_of(scratch / "x", text + b" " * spaces)) == value


@pytest.mark.usefixtures("windows")
@given(st.binary(max_size=40), st.integers(0, 60), st.integers(0, 60))
def test_damage_is_an_error_of_ours_or_what_json_says(scratch, noise, start, end):
    whole = (
        b'{"__metadata__": {"a": "\\"b\\u00e9"}, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    )
    text = whole[:start] + noise + whole[end:]
    path = file_of(scratch / "x", text, b"0000")
    try:
        found = members(path)
    except WeightsError as error:
        assert str(path) in str(error)
        return
    assert json.loads(text.decode()) == found
    try:
        read_header(path)
    except WeightsError as error:
        assert str(path) in str(error)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error_of_ours_or_a_file(scratch, data):
    path = scratch / "x"
    path.write_bytes(data)
    try:
        read_header(path)
    except WeightsError as error:
        assert str(path) in str(error)


def entries(count: int) -> dict[str, object]:
    return {
        f"block.{n}.ü": {"dtype": "U8", "shape": [n % 5], "data_offsets": [0, n % 5]} for n in range(count)
    }


@pytest.mark.parametrize("form", [{"separators": (",", ":")}, {}, {"indent": 1}, {"ensure_ascii": False}])
def test_many_tensors_are_what_json_says(tmp_path, form):
    said = entries(3000)
    odd = {"}": 1, 'a"},"b': {"dtype": "}"}, "c": [[{}]], "__metadata__": {"a": "},"}}
    mixed = dict(list(said.items())[:2000]) | odd | said
    for value in (said, mixed):
        assert members(file_of(tmp_path / "x", json.dumps(value, **form).encode())) == value


@pytest.mark.parametrize("first", ["{}", "1", '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'])
def test_a_name_twice_among_many_is_refused(tmp_path, first):
    text = json.dumps(entries(3000), separators=(",", ":")).encode()
    assert b'{"block.1000.' not in text
    twice = text.replace(b'"block.1000.', b'"block.2500.\\u00fc":' + first.encode() + b',"block.1000.')
    with pytest.raises(WeightsError, match="twice|expected an object"):
        read_header(file_of(tmp_path / "x", twice, b"00000"))


def test_metadata_beside_the_tensors(tmp_path):
    write_safetensors(
        tmp_path / "x", {"w": np.ones(1, np.float32)}, {"modelspec.title": 'a "title" of ünïcode'}
    )
    tensors, metadata = read_whole_header(tmp_path / "x")
    assert list(tensors) == ["w"]
    assert metadata == {"modelspec.title": 'a "title" of ünïcode'}
    text = b'{"__metadata__": {"a": 1, "b": "c"}}'
    assert read_whole_header(file_of(tmp_path / "y", text)) == ({}, {"b": "c"})
    for text in (b"{}", b'{"__metadata__": []}'):
        assert read_whole_header(file_of(tmp_path / "z", text)) == ({}, {})


def many(text: str) -> Iterator[bytes]:
    return (text.format(number).encode() for number in range(5_000))


HOSTILE = {
    "members": lambda: b"{" + b",".join(many('"{0}":{{}}')) + b"}",
    "metadata": lambda: b'{"__metadata__":{' + b",".join(many('"{0}":""')) + b"}}",
    "escapes": lambda: b'{"__metadata__":{"a":"' + b'\\"' * 8_500_000 + b'"}}',
    "a name": lambda: b'{"' + b"a" * 10_000_000 + b'":1}',
    "lists": lambda: b'{"a":[' + b"[]," * 3_000_000 + b"[]]}",
    "depth": lambda: b'{"a":' + b"[" * 10_000_000,
    "a number": lambda: b'{"a":' + b"1" * 10_000_000 + b"}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_no_model_has_takes_no_memory(tmp_path, monkeypatch, text):
    monkeypatch.setattr(header, "MAX_TENSORS", 4096)
    path = file_of(tmp_path / "x", text())
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="the safetensors header cannot be read"):
            members(path)
        # Where a string is as long as all metadata may be: the window, and what that was made of.
        assert tracemalloc.get_traced_memory()[1] < 4 * 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a":{},"a":{}}', "names 'a' twice"),
        (b'{"a":{}}x', "expected its end, got 'x'"),
        (b'{"a":{},}', "expected a name, got '}'"),
        (b'{"a" {}}', "expected ':', got '{}}'"),
        (b'{"a":{}', "expected ',', got its end"),
        (b'{"a', "a string without an end"),
        (b'{"a":"\xff"}', "codec can't (en|de)code"),
        (b'{"\xff":1}', "codec can't decode"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, said):
    with pytest.raises(WeightsError, match=f"x: the safetensors header cannot be read: .*{said}"):
        members(file_of(tmp_path / "x", text))


def test_a_header_longer_than_the_file(tmp_path):
    (tmp_path / "x").write_bytes((1000).to_bytes(8, "little") + b"{}")
    with pytest.raises(
        WeightsError, match=r"not a whole .* \(10 bytes, its header would need 1000\); download it again"
    ):
        read_header(tmp_path / "x")
