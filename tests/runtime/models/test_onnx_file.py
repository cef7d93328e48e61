"""An ONNX file is read without its weights, and whatever its bytes say, no more is raised than our errors."""

import os
from pathlib import Path

import numpy as np
import pytest
from given_models import Export
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_build import TYPES, attribute, linear, value

from latentrt.errors import GraphError, ModelError
from latentrt.models.bundle import open_model
from latentrt.models.given.given_graph import read_given_graph
from latentrt.models.given.onnx_file import read_graph
from latentrt.networks import Variant
from latentrt.networks.proto import ModelProto

SINGLE = TYPES[np.dtype(np.float32)]


def baked(width: int = 3, values: int = 4000) -> ModelProto:
    """y = x · weight, of which the weights are large, and so is a constant within a node."""
    model = ModelProto(ir_version=10, producer_name="tests")
    model.opset_import.add(version=20)
    g = model.graph
    value(g.input.add(), "x", np.float32, ("batch", "features"))
    value(g.output.add(), "y", np.float32, ("batch", "more"))
    raw = np.arange(width * values, dtype=np.float32).tobytes()
    g.initializer.add(name="w", data_type=SINGLE, dims=[width, values], raw_data=raw)
    g.initializer.add(name="list", data_type=SINGLE, dims=[values], float_data=[0.0] * values)
    node = g.node.add(op_type="Constant", output=["bias"])
    held = node.attribute.add(name="value", type=4).t
    held.data_type, held.raw_data = SINGLE, bytes(4 * values)
    held.dims.append(values)
    g.node.add(op_type="Cast", input=["x"], output=["x.cast"])
    attribute(g.node[-1], "to", 2, i=SINGLE)
    g.node.add(op_type="MatMul", input=["x.cast", "w"], output=["product"])
    g.node.add(op_type="Identity", input=["product"], output=["y"])
    return model


def test_weights_are_passed_over_and_all_else_is_kept(tmp_path: Path) -> None:
    model = baked()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    read = read_graph(path).proto
    for tensor in (*model.graph.initializer, model.graph.node[0].attribute[0].t):
        tensor.ClearField("raw_data")
        del tensor.float_data[:]
    assert read.SerializeToString() == model.SerializeToString()
    graph = read_given_graph(path)
    assert graph.weights == {"float32": 3 * 4000 + 4000}
    assert graph.widths == {"x": 3, "y": 4000}
    assert graph.width("x", 1) == 3
    assert graph.operators == {("", "Constant"): 1, ("", "Cast"): 1, ("", "MatMul"): 1, ("", "Identity"): 1}
    assert (graph.opsets, graph.ir_version, graph.producer) == ({"": 20}, 10, "tests")
    assert graph.precision == "fp32"


def test_a_network_says_how_wide_it_is(tmp_path: Path) -> None:
    """Of the included model, whose graphs cast and transpose each weight first."""
    components = open_model("demo").components
    read = {
        name: read_given_graph(Export(part).save(tmp_path / f"{name}.onnx"))
        for name, part in components.items()
    }
    unet, encoder = read["unet"], read["text_encoder"]
    assert unet.widths == {"sample": 4, "encoder_hidden_states": 128, "out_sample": 4}
    assert (encoder.widths["input_ids"], encoder.embeds) == (680, 128)
    assert read["vae_decoder"].widths == {"latent_sample": 4, "sample": 3}
    assert read["vae_encoder"].widths == {"sample": 3, "latent_parameters": 8}
    assert read["vae_decoder"].enlargements == 3
    for name, part in components.items():
        assert read[name].num_parameters >= sum(
            int(np.prod(p.shape)) for p in part.graph(Variant()).parameters
        )


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(GraphError, match="no regular one"):
        read_graph(tmp_path / "model.onnx")


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(0, 400)),
)
@settings(max_examples=300)
def test_any_bytes_are_a_graph_or_one_of_our_errors(tmp_path_factory, changes, length) -> None:
    data = bytearray(linear().SerializeToString())
    for at, byte in changes:
        data[at % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(data[:length])
    try:
        read_given_graph(path)
    except ModelError as error:
        assert str(path.parent) in str(error)


def test_depth_is_bounded(tmp_path: Path) -> None:
    """A graph in a node in a graph, 100 deep, each over what is kept unread."""
    data = b"\x0a" + _length(2000) + b"x" * 2000  # a node with 2000 bytes, which are read
    for _ in range(100):
        inner = b"\x32" + _length(len(data)) + data  # attribute.g
        node = b"\x2a" + _length(len(inner)) + inner  # node.attribute
        data = b"\x0a" + _length(len(node)) + node  # graph.node
    (tmp_path / "deep.onnx").write_bytes(b"\x3a" + _length(len(data)) + data)
    with pytest.raises(GraphError, match="deep"):
        read_graph(tmp_path / "deep.onnx")


def _length(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
