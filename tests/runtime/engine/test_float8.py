"""Float8 weights, scaled ones and pieces of others: ONNX Runtime over the mapped file gives what numpy reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinds import CLIP_L
from onnx_build import linear
from random_weights import random_weights

from latentrt.engine.providers import choose
from latentrt.engine.session import Session, _place
from latentrt.errors import WeightsError
from latentrt.models.floats import WIDENED
from latentrt.models.keys.open_clip import from_open_clip
from latentrt.models.safetensors import Tensor, safetensors_header
from latentrt.models.weights import Weights
from latentrt.networks import Graph, Variant, build

CPU = choose("cpu")
FINITE = {
    name: [byte for byte in range(256) if np.isfinite(WIDENED[name](np.uint8([byte]))[0])]
    for name in ("F8_E4M3", "F8_E5M2")
}
TYPES = st.sampled_from(tuple(FINITE))
SCALES = st.floats(2**-20, 2**10, width=32)


def write(path: Path, tensors: dict[str, tuple[str, np.ndarray[Any, Any]]]) -> Path:
    """By name: the type as safetensors calls it, and the bytes in an array of the shape."""
    entries, at = {}, 0
    for name, (dtype, array) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    data = b"".join(array.tobytes() for _, array in tensors.values())
    path.write_bytes(safetensors_header(json.loads(json.dumps(entries))) + data)
    return path


def drawn(dtype: str, *shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).choice(np.array(FINITE[dtype], np.uint8), shape)


def scaled(tensors: dict[str, Tensor], **by: str) -> Weights:
    """Tensors of which some have another as their scale."""
    found = dict(tensors)
    for name, scale in by.items():
        key = name.replace("__", ".")
        found[key] = tensors[key]._replace(scale=tensors[scale])
    return Weights.of(found)


@given(TYPES, st.none() | st.lists(SCALES, min_size=1, max_size=2), st.sampled_from(["fp32", "fp16"]))
def test_a_session_computes_with_the_values_that_numpy_reads(tmp_path_factory, dtype, scales, compute):
    """Plain, with a scale for all, and with one for each row."""
    folder = tmp_path_factory.mktemp("float8")
    bytes_ = drawn(dtype, 2, 3)
    bytes_ &= 0xBF  # the upper exponents would overflow fp16
    tensors = {"fc.bias": ("F32", np.zeros(2, np.float32)), "fc.weight": (dtype, bytes_)}
    if scales is not None:
        tensors |= {"pad": ("U8", np.zeros(2, np.uint8))}
        tensors["s"] = ("F32", np.array(scales if len(scales) > 1 else scales[0], np.float32))
    weights = Weights((write(folder / "w.safetensors", tensors),))
    if scales is not None:
        weights = scaled(dict(weights), fc__weight="s")
    values = WIDENED[dtype](bytes_)
    if scales is not None:
        values = values * np.array(scales, np.float32).reshape(-1, 1)
    np.testing.assert_array_equal(weights.array("fc.weight"), values)
    graph = Graph.parse(linear(compute).SerializeToString(), "linear")
    if compute == "fp32":
        places, arrays = _place("unet", graph.parameters, weights, folder.resolve())
        assert not arrays  # nothing is copied
        assert places["fc.weight"].dtype == dtype
    with np.errstate(over="ignore"):
        if compute == "fp16" and not np.isfinite(values.astype(np.float16)).all():
            return
    opened = Session("unet", graph, weights, CPU, compute)
    result = opened.run({"x": np.eye(3, dtype=np.float32)})["y"]
    expected = values.astype(np.float16).astype(np.float32) if compute == "fp16" else values
    np.testing.assert_allclose(result, expected.T, rtol=1e-6)


@pytest.mark.parametrize("compute", ["fp32", "fp16"])
def test_a_network_with_scaled_weights(tmp_path, compute):
    """As its builder writes it: a text encoder, against its dequantised values."""
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = {**CLIP_L, **small, "vocab_size": 20}
    graph, rng = build("text_encoder", config, Variant(compute)), np.random.default_rng(0)
    stored, wide = {}, {}
    for name, values in random_weights(rng, graph.parameters).items():
        if values.ndim == 2 and "layers" in name:
            stored[name] = ("F8_E4M3", drawn("F8_E4M3", *values.shape) & 0xBF)
            scale = rng.uniform(0.01, 0.1, rng.choice([1, len(values)])).astype(np.float32)
            stored[f"{name}_scale"] = ("F32", scale)
            values = WIDENED["F8_E4M3"](stored[name][1]) * scale.reshape(-1, 1)
        else:
            stored[name] = ("F32", values)
        wide[name] = ("F32", values)
    results = []
    for tensors in (wide, stored):
        found = dict(Weights((write(tmp_path / f"{len(tensors)}.safetensors", tensors),)))
        for name in tensors:
            if f"{name}_scale" in found:
                found[name] = found[name]._replace(scale=found[f"{name}_scale"])
        graph = build("text_encoder", config, Variant(compute))
        session = Session("text_encoder", graph, Weights.of(found), CPU, compute)
        results.append(session.run({"input_ids": np.arange(8, dtype=np.int64)[None] + 1}))
    for name, values in results[0].items():
        np.testing.assert_array_equal(results[1][name], values)


@pytest.mark.parametrize("dtype", FINITE)
def test_onnx_runtime_widens_every_value_as_numpy(tmp_path, dtype):
    bytes_ = np.resize(np.array(FINITE[dtype], np.uint8), (2, 3 * 43))
    tensors = {"fc.weight": (dtype, bytes_), "fc.bias": ("F32", np.zeros(2, np.float32))}
    model = linear()
    model.graph.initializer[0].dims[1] = 3 * 43
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3 * 43
    weights = Weights((write(tmp_path / "w.safetensors", tensors),))
    opened = Session("unet", Graph.parse(model.SerializeToString(), "linear"), weights, CPU, "fp32")
    result = opened.run({"x": np.eye(3 * 43, dtype=np.float32)})["y"]
    np.testing.assert_array_equal(result, WIDENED[dtype](bytes_).T)


@given(
    TYPES, st.integers(1, 4), st.integers(0, 99), st.sampled_from(["none", "one", "rows", "column of rows"])
)
def test_a_scaled_table_of_rows_is_read_in_rows(tmp_path_factory, dtype, width, seed, kind):
    """OpenCLIP keeps three projections in one matrix, whose scale may count its rows."""
    folder = tmp_path_factory.mktemp("rows")
    whole = drawn(dtype, 3 * width, width, seed=seed)
    rng = np.random.default_rng(seed)
    scale = {
        "one": rng.uniform(0.1, 2, ()),
        "rows": rng.uniform(0.1, 2, (3 * width,)),
        "column of rows": rng.uniform(0.1, 2, (3 * width, 1)),
    }.get(kind)
    name = "transformer.resblocks.0.attn.in_proj_weight"
    tensors = {name: (dtype, whole)}
    if scale is not None:
        tensors["s"] = ("F32", np.asarray(scale, np.float32))
    stored = dict(Weights((write(folder / "w.safetensors", tensors),)))
    if scale is not None:
        stored[name] = stored[name]._replace(scale=stored["s"])
    found = Weights.of(from_open_clip({name: stored[name]}))
    expected = WIDENED[dtype](whole)
    if scale is not None:
        expected = expected * np.asarray(scale, np.float32).reshape(-1, 1)
    got = [found.array(f"text_model.encoder.layers.0.self_attn.{p}_proj.weight") for p in "qkv"]
    np.testing.assert_array_equal(np.concatenate(got), expected)


@pytest.mark.parametrize("kind", ["none", "one", "rows"])
def test_a_transposed_matrix_keeps_its_scales(tmp_path, kind):
    """They count the rows as stored."""
    whole, scale = drawn("F8_E4M3", 3, 3), np.float32([0.5, 2, 4])
    tensors = {"text_projection": ("F8_E4M3", whole), "s": ("F32", scale if kind == "rows" else scale[:1])}
    stored = dict(Weights((write(tmp_path / "w.safetensors", tensors),)))
    if kind != "none":
        stored["text_projection"] = stored["text_projection"]._replace(scale=stored["s"])
    found = Weights.of(from_open_clip({"text_projection": stored["text_projection"]}))
    expected = WIDENED["F8_E4M3"](whole)
    if kind != "none":
        expected = expected * (scale[:, None] if kind == "rows" else scale[0])
    np.testing.assert_array_equal(found.array("text_projection.weight"), expected.T)


@pytest.mark.parametrize(
    "scale",
    [np.ones(3, np.float32), np.float32([np.nan]), np.float32([np.inf, 1]), np.ones((2, 2), np.float32)],
)
def test_a_scale_that_cannot_be(tmp_path, scale):
    tensors = {"w": ("F8_E4M3", drawn("F8_E4M3", 2, 3)), "s": ("F32", scale)}
    weights = scaled(dict(Weights((write(tmp_path / "w.safetensors", tensors),))), w="s")
    with pytest.raises(
        WeightsError, match=r"w\.safetensors: tensor s is to scale w: expected one finite number, or one"
    ):
        weights.array("w")
