"""Safetensors: what is read is what was written, and what is broken is named."""

import json
import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch import resident_bytes

from latentrt.errors import ModelError, WeightsError
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weight_files import find_weight_files
from latentrt.models.weights import Weights, read_safetensors

DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]


def header(path: Path, entries: dict, data: bytes = b"") -> Path:
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4)),
        max_size=5,
    ),
    st.integers(0, 2**32 - 1),
)
def test_round_trip(tmp_path_factory, entries, seed):
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
        for name, (dtype, shape) in entries.items()
    }
    path = tmp_path_factory.mktemp("w") / "t.safetensors"
    write_safetensors(path, tensors, {"made": "here"})
    back = read_safetensors(path)
    assert back.keys() == tensors.keys()
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_bfloat16_is_widened_exactly(tmp_path):
    # Each has 8 significant bits or fewer.
    values = np.array([1.0, -2.5, 3.140625, 1e38, 2**-126], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    kept = (bits.astype(np.uint32) << 16).view(np.float32)
    path = header(
        tmp_path / "b.safetensors",
        {"w": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}},
        bits.tobytes(),
    )
    np.testing.assert_array_equal(read_safetensors(path)["w"], kept)
    assert kept[:3].tolist() == [1.0, -2.5, 3.140625]


def test_a_type_that_fits_is_a_view_of_the_file(tmp_path):
    write_safetensors(tmp_path / "t.safetensors", {"w": np.arange(4, dtype=np.float32)})
    weights = Weights((tmp_path / "t.safetensors",))
    assert not weights.read(weights["w"], np.float32).flags.owndata
    assert not weights.read(weights["w"], np.float32).flags.writeable
    assert weights.read(weights["w"], np.float16).dtype == np.float16


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("decoder.mid_block.attentions.0.to_q.weight", "decoder.mid_block.attentions.0.query.weight"),
        ("decoder.mid_block.attentions.0.to_out.0.bias", "decoder.mid_block.attentions.0.proj_attn.bias"),
        ("text_model.final_layer_norm.weight", "final_layer_norm.weight"),
    ],
)
def test_names_of_other_versions(tmp_path, ours, theirs):
    write_safetensors(tmp_path / "t.safetensors", {theirs: np.ones(3, np.float32)})
    found = Weights((tmp_path / "t.safetensors",)).find(ours)
    assert found is not None
    assert found.name == theirs
    with pytest.raises(WeightsError, match=r"tensor other\.weight is missing in .*t\.safetensors"):
        Weights((tmp_path / "t.safetensors",)).array("other.weight")


def test_truncated_file_names_tensor(tmp_path):
    path = tmp_path / "t.safetensors"
    write_safetensors(path, {"a": np.ones(100, np.float32), "b": np.ones(100, np.float32)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="truncated: tensor b ends at byte"):
        Weights((path,))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "needs 8 bytes, has 4"),
        ({"w": {"dtype": "F32", "shape": [2**40, 4], "data_offsets": [0, 16]}}, "tensor w of shape .* needs"),
        ({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, r"tensor w has shape \[-1\]"),
        ({"w": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 4]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}, "at most 64 whole numbers"),
        ({"w": {"dtype": "F32", "shape": [0, 2**70], "data_offsets": [0, 0]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}, "tensor w has shape"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, "tensor w has data_offsets"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0.0, 16.0]}}, "tensor w has data_offsets"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": [16]}}, "tensor w has data_offsets"),
        ({"w": {"dtype": "F32", "shape": [4], "data_offsets": None}}, "tensor w has data_offsets"),
        ({"w": {"dtype": ["F32"], "shape": [4], "data_offsets": [0, 16]}}, "tensor w has dtype"),
        ({"w": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, "dtype F4; expected one of"),
        ({"w": {"shape": [1]}}, "tensor w has dtype None"),
        ({"w": 3}, "tensor w: expected an object"),
        ([], "header is a list"),
        (
            {
                "w": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]},
                "v": {"dtype": "U8", "shape": [8], "data_offsets": [8, 16]},
            },
            "tensor v begins inside of tensor w",
        ),
    ],
)
def test_broken_headers(tmp_path, entries, message):
    with pytest.raises(WeightsError, match=message):
        Weights((header(tmp_path / "x.safetensors", entries, b"0" * 16),))


def test_shapes_at_the_limits_are_read(tmp_path):
    entries = {
        "dimensions": {"dtype": "F32", "shape": [1] * 64, "data_offsets": [0, 4]},
        "empty": {"dtype": "F32", "shape": [0, 2**60], "data_offsets": [2, 2]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [4, 8]},
    }
    arrays = read_safetensors(header(tmp_path / "x.safetensors", entries, b"0" * 8))
    assert {name: array.shape for name, array in arrays.items()} == {
        name: tuple(entry["shape"]) for name, entry in entries.items()
    }


def test_released_pages_are_out_of_memory_and_can_be_read_again(tmp_path):
    path = tmp_path / "w.safetensors"
    expected = np.arange(2**18, dtype=np.float32)
    write_safetensors(path, {"a": expected})
    weights = Weights((path,))
    array = weights.array("a")
    np.testing.assert_array_equal(array, expected)
    assert resident_bytes(path) >= expected.nbytes
    weights.release()
    assert resident_bytes(path) == 0
    np.testing.assert_array_equal(array, expected)


def test_release_where_the_system_has_no_such_call(tmp_path, monkeypatch):
    write_safetensors(tmp_path / "t.safetensors", {"w": np.ones(3, np.float32)})
    weights = Weights((tmp_path / "t.safetensors",))
    kept = weights.array("w")
    weights.release()
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    weights.release()
    assert kept.tolist() == [1, 1, 1]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["F32", "BF16", "w"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b"]),
        st.fixed_dictionaries(
            {"dtype": st.sampled_from(["F32", "U8"]) | VALUES, "shape": VALUES, "data_offsets": VALUES}
        )
        | VALUES,
    )
)
def test_no_header_does_worse_than_an_error(tmp_path_factory, entries):
    path = header(tmp_path_factory.mktemp("w") / "x.safetensors", entries, b"0" * 16)
    try:
        read_safetensors(path)
    except WeightsError as error:
        assert str(path) in str(error)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("w") / "x.safetensors"
    path.write_bytes(data)
    try:
        Weights((path,))
    except WeightsError as error:
        assert str(path) in str(error)


class TestFindWeightFiles:
    def touch(self, folder, *names):
        for name in names:
            write_safetensors(folder / name, {"w": np.zeros(1, np.float32)})

    def test_full_precision_before_variant(self, tmp_path):
        self.touch(tmp_path, "model.fp16.safetensors")
        assert [f.name for f in find_weight_files(tmp_path)] == ["model.fp16.safetensors"]
        self.touch(tmp_path, "model.safetensors")
        assert [f.name for f in find_weight_files(tmp_path)] == ["model.safetensors"]

    def test_shards(self, tmp_path):
        names = ["m-1.safetensors", "m-2.safetensors"]
        self.touch(tmp_path, *names)
        index = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"a": names[1], "b": names[0], "c": names[0]}}))
        assert [f.name for f in find_weight_files(tmp_path)] == names
        (tmp_path / names[1]).unlink()
        with pytest.raises(WeightsError, match=r"names the shard m-2\.safetensors, which is not there"):
            find_weight_files(tmp_path)

    def test_links_of_a_hubs_cache_are_followed(self, tmp_path):
        folder = tmp_path / "snapshots" / "model"
        folder.mkdir(parents=True)
        self.touch(tmp_path, "blob")
        (folder / "m.safetensors").symlink_to("../../blob")
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "m.safetensors"}}')
        assert list(Weights(find_weight_files(folder))) == ["w"]

    @pytest.mark.parametrize(
        "name",
        ["../outside.safetensors", "/etc/passwd", "a/../../b", "", "a\0b", "..\\b", "\ud800/b", "out/b"],
    )
    def test_paths_stay_inside(self, tmp_path, name):
        folder = tmp_path / "model"
        folder.mkdir()
        self.touch(tmp_path, "outside.safetensors")
        (folder / "out").symlink_to(tmp_path)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ModelError, match="outside of the model's folder"):
            find_weight_files(folder)

    def test_pickle_is_refused_with_the_way_out(self, tmp_path):
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
        with pytest.raises(WeightsError, match=r"pytorch_model\.bin holds pickled weights.*latentrt export"):
            find_weight_files(tmp_path)

    def test_nothing_there(self, tmp_path):
        with pytest.raises(WeightsError, match="no weights.*found nothing"):
            find_weight_files(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ModelError, match="tensor c has dtype complex128"):
        write_safetensors(tmp_path / "t.safetensors", {"c": np.zeros(1, np.complex128)})
    assert list(tmp_path.iterdir()) == []
