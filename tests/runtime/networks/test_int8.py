"""Layers in integers, against numpy's integers; and the channels-last form, against the other."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from latentrt.engine.providers import choose
from latentrt.engine.quantized import in_integers
from latentrt.engine.session import Session
from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.published import SD1_UNET, SD1_VAE
from latentrt.networks import Place, Variant, build, int8, quantize
from latentrt.networks.emitter import Emitter
from latentrt.networks.int8 import LEVELS, stays_float
from latentrt.networks.layers import (
    channels_first,
    conv,
    from_channels_first,
    halves,
    join,
    linear,
    nearest,
    silu,
)

INT8 = Variant("int8", fused_attention=True)


def run(emitter, x, parameters):
    """Outputs of a graph whose weights are given by their checkpoint names, in plain ONNX Runtime."""
    graph = emitter.finish("layer")
    options = ort.SessionOptions()
    made = {}
    for parameter in graph.parameters:
        array = parameters[parameter.name]
        if parameter.quantized is None:
            made[parameter.name] = array
            continue
        made |= in_integers("one", parameter, array)
    kinds = {"float32": "F32", "int8": "I8"}
    graph.place({name: Place(kinds[str(array.dtype)]) for name, array in made.items()})
    values = [ort.OrtValue.ortvalue_from_numpy(array) for array in made.values()]
    options.add_external_initializers(list(made), values)
    session = ort.InferenceSession(graph.serialize(), options, providers=["CPUExecutionProvider"])
    return session.run(None, x if isinstance(x, dict) else {"x": x})


def levels(x):
    """ONNX's DynamicQuantizeLinear in numpy: what stands for x less its zero point, int64, and the scale."""
    low, high = np.float32(min(x.min(), 0)), np.float32(max(x.max(), 0))
    scale = np.float32((high - low) / np.float32(255)) if high > low else np.float32(1)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero).astype(np.int64), scale


def expected(rows, scale, weight, bias):
    """Of quantised rows (…, k) and a weight (n_out, …): the sums in 64 bits, then scaled."""
    integers, scales = quantize(weight)
    return (rows @ integers.astype(np.int64)) * (np.float64(scale) * scales) + bias


def windows(q, kernel, stride, pads):
    q = np.pad(q, ((0, 0), pads, pads, (0, 0)))
    rows = np.lib.stride_tricks.sliding_window_view(q, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    return np.moveaxis(rows, 3, -1).reshape(*rows.shape[:3], -1)


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * max(np.abs(wanted).max(), 1e-30))


@settings(max_examples=40)
@given(
    hnp.array_shapes(min_dims=2, max_dims=3, max_side=40),
    st.integers(1, 70),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_a_linear_is_numpys(shape, n_out, seed, bias):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6)).astype(np.float32)
    weight = rng.standard_normal((n_out, shape[-1])).astype(np.float32)
    b = rng.standard_normal(n_out).astype(np.float32) * bias
    e = Emitter(INT8)
    e.input("x", [f"d{axis}" for axis in range(len(shape) - 1)] + [shape[-1]])
    e.output("y", linear(e, "x", "one", shape[-1], n_out, bias), ["…"] * len(shape))
    (got,) = run(e, x, {"one.weight": weight, "one.bias": b})
    q, scale = levels(x)
    close(got, expected(q, scale, weight, b))


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 40)),
    st.integers(1, 40),
    st.sampled_from([(1, 1, (0, 0)), (3, 1, (1, 1)), (3, 2, (1, 1)), (3, 2, (0, 1))]),
    st.integers(0, 2**32),
)
def test_a_convolution_is_numpys(shape, n_out, form, seed):
    kernel, stride, pads = form
    if min(shape[1:3]) + sum(pads) < kernel:
        return
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    weight = rng.standard_normal((n_out, shape[3], kernel, kernel)).astype(np.float32)
    b = rng.standard_normal(n_out).astype(np.float32)
    e = Emitter(INT8)
    e.input("x", ("b", "h", "w", shape[3]))
    e.output("y", conv(e, "x", "one", shape[3], n_out, kernel, stride, pads), ["…"] * 4)
    (got,) = run(e, x, {"one.weight": weight, "one.bias": b})
    q, scale = levels(x)
    close(got, expected(windows(q, kernel, stride, pads), scale, weight, b))


def test_pictures_that_are_joined_are_quantised_apart():
    """Each has a scale of its own, and so have the weights for it: one is a thousand times the other."""
    rng = np.random.default_rng(0)
    shapes = {"large": (2, 3, 5, 24), "small": (2, 3, 5, 40)}
    x = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    x["large"] *= 1000
    weight, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 64, 1, 1), (16,)))
    weight[:, :24] /= 1000
    e = Emitter(INT8)
    for name in x:
        e.input(name, ("b", "h", "w", shapes[name][-1]))
    both = join(e, ("large", 24), ("small", 40))
    e.output("y", conv(e, both, "one", 64, 16, kernel=1), ("b", "h", "w", 16))
    (got,) = run(e, x, {"one.weight": weight, "one.bias": b})
    wanted = b.astype(np.float64)
    for name, part in (("large", slice(0, 24)), ("small", slice(24, 64))):
        wanted = wanted + expected(*levels(x[name]), weight[:, part, 0, 0], 0)
    close(got, wanted)
    exact = np.concatenate([x["large"], x["small"]], axis=3) @ weight[:, :, 0, 0].T + b
    assert np.abs(got - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("bias", [True, False])
def test_rows_of_very_different_sizes_are_each_as_exact_as_their_weights(bias):
    """As those of a text: two bytes a number, and a scale for each row; a row of zeros, too."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 48)).astype(np.float32)
    x[:, 0] *= 1e4
    x[:, 1, 5] = 300  # a channel that is larger than the others
    x[:, 2] = 0
    x[:, 3] *= 1e-4
    weight, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 48), (16,)))
    e = Emitter(INT8)
    e.input("x", ("b", "s", 48))
    e.uneven.add("x")
    e.output("y", linear(e, "x", "one", 48, 16, bias), ("b", "s", 16))
    (got,) = run(e, x, {"one.weight": weight, "one.bias": b})
    integers, scales = quantize(weight)
    taken = integers * scales.astype(np.float64)
    wanted = x.astype(np.float64) @ taken + (b if bias else 0)
    levels = np.abs(x).max(axis=2, keepdims=True) / 127 / 254  # half of one is the most that a number errs
    rounding = 1e-6 * np.abs(wanted).max(axis=2, keepdims=True)
    assert (np.abs(got - wanted) <= levels / 2 * np.abs(taken).sum(axis=0) + rounding).all()


def test_what_the_text_says_is_put_into_two_bytes_once():
    graph = build("unet", SD1_UNET, INT8)
    by_output = {output: node for node in graph.proto.graph.node for output in node.output}
    products = [node for node in graph.proto.graph.node if node.op_type == "MatMulIntegerToFloat"]
    of_text = [
        node for node in products if node.input[1].split(".weight/")[0].endswith(("attn2.to_k", "attn2.to_v"))
    ]
    assert len(of_text) == 32
    (q,) = {node.input[0] for node in of_text}
    assert by_output[q].op_type == "Cast"


def test_bytes_are_put_into_another_order_not_floats():
    """A group norm lies channels-first; what its convolution takes is transposed after it is quantised."""
    e = Emitter(INT8)
    e.input("x", ("b", "h", "w", 32))
    first = channels_first(e, "x")
    e.output(
        "y", conv(e, silu(e, from_channels_first(e, first)), "one", 32, 4, kernel=1, bias=False), ["…"] * 4
    )
    graph = e.finish("ordered")
    by_output = {output: node for node in graph.proto.graph.node for output in node.output}
    (product,) = (n for n in graph.proto.graph.node if n.op_type == "MatMulIntegerToFloat")
    transposed = by_output[product.input[0]]
    assert transposed.op_type == "Transpose"
    assert by_output[transposed.input[0]].op_type == "DynamicQuantizeLinear"


@pytest.mark.parametrize("sign", [1, -1])
def test_no_sum_is_clipped(sign):
    """The largest products that there are, which sums of two in 16 bits would not hold at eight bits."""
    x = np.full((4, 512), 3.0, np.float32)
    weight = np.full((16, 512), 0.5 * sign, np.float32)
    e = Emitter(INT8)
    e.input("x", ("n", 512))
    e.output("y", linear(e, "x", "one", 512, 16, bias=False), ("n", 16))
    (got,) = run(e, x, {"one.weight": weight})
    np.testing.assert_allclose(got, np.full((4, 16), sign * 0.5 * 3 * 512), rtol=1e-6)


def test_halves_are_the_halves_of_one_layer():
    rng = np.random.default_rng(0)
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 5, 24), (64, 24)))
    b = rng.standard_normal(64).astype(np.float32)
    e = Emitter(INT8)
    e.input("x", ("b", "s", 24))
    for name, value in zip("vg", halves(e, "x", "one", 24, 32), strict=True):
        e.output(name, value, ("b", "s", 32))
    graph_out = run(e, x, {"one.weight": weight, "one.bias": b})
    q, scale = levels(x)
    wanted = expected(q, scale, weight, b)
    close(graph_out[0], wanted[..., :32])
    close(graph_out[1], wanted[..., 32:])


@pytest.mark.parametrize("value", [0.0, 7.5, -3.25])
def test_a_constant_input_is_exact_up_to_rounding(value):
    """Also zeros, whose range is empty."""
    x, weight = np.full((3, 16), value, np.float32), np.linspace(-1, 1, 64, dtype=np.float32).reshape(4, 16)
    e = Emitter(INT8)
    e.input("x", ("n", 16))
    e.output("y", linear(e, "x", "one", 16, 4, bias=False), ("n", 4))
    (got,) = run(e, x, {"one.weight": weight})
    integers, scales = quantize(weight)
    np.testing.assert_allclose(got, (x.astype(np.float64) @ integers) * scales, rtol=1e-5, atol=1e-7)


def test_what_several_layers_take_is_quantised_once():
    e = Emitter(INT8)
    e.input("x", ("n", 8))
    for name in ("to_q", "to_k", "to_v"):
        e.output(name, linear(e, "x", name, 8, 8), ("n", 8))
    counted = e.finish("three").operators
    assert counted["", "DynamicQuantizeLinear"] == 1
    assert counted["com.microsoft", "MatMulIntegerToFloat"] == 3


@given(
    hnp.arrays(
        np.float32,
        st.one_of(
            hnp.array_shapes(min_dims=2, max_dims=2), hnp.array_shapes(min_dims=4, max_dims=4, max_side=5)
        ),
        elements=st.floats(-65504, 65504, width=32, allow_nan=False),
    )
)
def test_a_weight_is_within_half_a_level_of_each_output(weight):
    integers, scales = quantize(weight)
    assert integers.dtype == np.int8
    assert np.abs(integers).max(initial=0) <= LEVELS
    assert np.isfinite(scales).all()
    assert (scales > 0).all()
    rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    error = np.abs(integers.T * scales[:, None].astype(np.float64) - rows)
    assert (error <= scales[:, None] * 0.5001).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused(bad):
    weight = np.ones((80, 3), np.float32)
    weight[79, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize(weight)


def test_pixels_are_repeated_in_bytes_as_in_floats():
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 8)).astype(np.float32)
    e = Emitter(INT8)
    e.input("x", ("b", "h", "w", 8))
    e.output("y", nearest(e, "x"), ("b", "2h", "2w", 8))
    (got,) = run(e, x, {})
    np.testing.assert_array_equal(got, x.repeat(2, 1).repeat(2, 2))


def test_which_layers_stay_in_float():
    graph = build("unet", SD1_UNET, INT8)
    taken = {p.name for p in graph.parameters if p.quantized is not None}
    left = {p.name.removesuffix(".weight") for p in graph.parameters if len(p.shape) > 1} - {
        name.removesuffix(".weight") for name in taken
    }
    assert len(taken) == 276
    assert all(stays_float(name) for name in left)
    assert {name.rpartition(".")[2] for name in left} == {
        "conv_in",
        "conv_out",
        "conv_shortcut",
        "linear_1",
        "linear_2",
    }


def test_other_networks_have_no_such_graph():
    with pytest.raises(ModelError, match="vae_encoder: has no graph in int8; expected fp16 or fp32"):
        build("vae_encoder", SD1_VAE, INT8)


@pytest.mark.parametrize("size", [(16, 24), (9, 13)])
def test_channels_last_is_the_same_network(monkeypatch, random_model, size):
    """With every layer in float, nothing is left of the variant but the order of its arrays."""
    component = open_model(random_model).components["unet"]
    monkeypatch.setattr(int8, "stays_float", lambda path: True)
    rng = np.random.default_rng(0)
    results = []
    for compute in ("fp32", "int8"):
        graph = component.graph(Variant(compute))
        if not results:
            sizes = {"batch": 2, "height": size[0], "width": size[1], "sequence": 7}
            feeds = {
                key: rng.standard_normal([sizes.get(d, d) for d in value.shape]).astype(np.float32)
                for key, value in graph.inputs.items()
            }
        assert not graph.quantized
        results.append(Session("unet", graph, component.weights, choose("cpu"), compute).run(feeds))
    for key, value in results[0].items():
        np.testing.assert_allclose(results[1][key], value, rtol=0, atol=1e-4 * np.abs(value).max())
