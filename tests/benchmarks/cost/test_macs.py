"""What a call costs: hand counts, the counts of the paper's and of Stable Diffusion's networks, and bytes."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import build

from latentrt.models.bundle import open_model
from latentrt.models.published import SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE, TAESD
from latentrt.networks import Variant
from latentrt.networks import build as build_network
from latentrt.networks.cost.macs import cost
from latentrt_bench.latent_vs_pixel.ldm import LDMS, build_graph

F = np.float32


PUBLISHED = {
    "sd1-text_encoder": SD1_TEXT_ENCODER,
    "sd1-unet": SD1_UNET,
    "sd1-vae_encoder": SD1_VAE,
    "sd1-vae_decoder": SD1_VAE,
    "taesd-taesd_decoder": TAESD,
}


def network(name, dtype="fp32"):
    family, component = name.split("-")
    if family == "demo":
        return open_model("demo").components[component].graph(Variant(dtype))
    return build_network(component, PUBLISHED[name], Variant(dtype))


@pytest.mark.parametrize(
    ("attributes", "weight", "bias", "output"),
    [
        ({}, (8, 4, 3, 3), False, (2, 8, 8, 12)),
        ({"pads": [1, 1, 1, 1]}, (8, 4, 3, 3), True, (2, 8, 10, 14)),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, (8, 4, 3, 3), True, (2, 8, 5, 7)),
        ({"group": 4, "dilations": [2, 2]}, (8, 1, 3, 3), False, (2, 8, 6, 10)),
        ({}, (16, 4, 1, 1), True, (2, 16, 10, 14)),
    ],
)
def test_convolution_by_hand(attributes, weight, bias, output):
    constants = {"w": (F, weight)} | ({"b": (F, weight[:1])} if bias else {})
    model = build(
        [("Conv", " ".join(["x", *constants]), "y", attributes)], {"x": (F, (2, 4, 10, 14))}, constants
    )
    counted = cost(model, {})
    # Every element of the output sums over its group and the kernel.
    by_hand = np.prod(output) * np.prod(weight[1:])
    assert (counted.macs, counted.conv, counted.linear, counted.attention) == (by_hand, by_hand, 0, 0)
    parameters = 4 * (np.prod(weight) + (weight[0] if bias else 0))
    activations = 4 * (2 * 4 * 10 * 14 + np.prod(output))
    assert counted.weight_bytes == parameters
    assert counted.bytes_moved == counted.least_bytes == parameters + activations
    assert counted.peak_activation_bytes == activations
    assert counted.nodes == 1


def test_transposed_convolution_by_hand():
    model = build(
        [("ConvTranspose", "x w", "y", {"strides": [2, 2]})],
        {"x": (F, (2, 4, 5, 5))},
        {"w": (F, (4, 6, 2, 2))},
    )
    # a kernel as large as its stride is as many products of matrices as it has elements
    assert cost(model, {}).conv == 4 * (2 * 5 * 5) * 4 * 6


def test_product_with_a_weight_broadcast_over_a_batch_by_hand():
    model = build([("MatMul", "x w", "y", {})], {"x": (F, (2, 5, 7, 3))}, {"w": (F, (3, 11))})
    counted = cost(model, {})
    assert (counted.macs, counted.linear) == (2 * 5 * 7 * 3 * 11, 2 * 5 * 7 * 3 * 11)
    assert counted.bytes_moved == 4 * (2 * 5 * 7 * 3 + 3 * 11 + 2 * 5 * 7 * 11)


def test_product_of_a_weight_that_is_cast_and_transposed_counts_no_bytes_for_that():
    nodes = [
        ("Cast", "w", "wide", {"to": 1}),
        ("Transpose", "wide", "t", {"perm": [1, 0]}),
        ("MatMul", "x t", "y", {}),
    ]
    counted = cost(build(nodes, {"x": (F, (7, 3))}, {"w": (np.float16, (11, 3))}), {})
    assert counted.linear == 7 * 3 * 11
    assert counted.weight_bytes == 4 * 3 * 11  # stored in two bytes, computed in four
    assert counted.bytes_moved == 4 * (7 * 3 + 3 * 11 + 7 * 11)
    assert counted.nodes == 1


@pytest.mark.parametrize("attributes", [{}, {"transA": 1}, {"transB": 1}])
def test_gemm_by_hand(attributes):
    a, b = ((5, 7) if attributes.get("transA") else (7, 5)), ((3, 5) if attributes.get("transB") else (5, 3))
    counted = cost(
        build([("Gemm", "x w c", "y", attributes)], {"x": (F, a)}, {"w": (F, b), "c": (F, (3,))}), {}
    )
    assert (counted.macs, counted.linear) == (7 * 5 * 3, 7 * 5 * 3)
    both = cost(build([("Gemm", "x w", "y", attributes)], {"x": (F, a), "w": (F, b)}), {})
    assert (both.linear, both.attention) == (0, 7 * 5 * 3)


ATTENTION = [  # (batch, heads, tokens, width)
    ("Transpose", "k", "kt", {"perm": [0, 1, 3, 2]}),
    ("MatMul", "q kt", "scores", {}),
    ("Softmax", "scores", "p", {"axis": -1}),
    ("MatMul", "p v", "mixed", {}),
    ("Transpose", "mixed", "merged", {"perm": [0, 2, 1, 3]}),
    ("Reshape", "merged shape", "y", {}),
]


def attention():
    b, h, n, s, d = 2, 3, 10, 4, 5
    inputs = {"q": (F, (b, h, n, d)), "k": (F, (b, h, s, d)), "v": (F, (b, h, s, d))}
    return build(ATTENTION, inputs, {"shape": np.array([0, 0, -1])})


def test_attention_by_hand():
    b, h, n, s, d = 2, 3, 10, 4, 5
    counted = cost(attention(), {})
    assert (counted.macs, counted.attention) == (2 * b * h * n * s * d, 2 * b * h * n * s * d)
    q, k, scores = b * h * n * d, b * h * s * d, b * h * n * s
    # The Reshape moves nothing.
    read_and_written = 2 * k + (q + k + scores) + 2 * scores + (scores + k + q) + 2 * q
    assert counted.bytes_moved == 4 * read_and_written
    assert counted.least_bytes == 4 * (q + k + k + q)
    assert counted.weight_bytes == 0
    assert counted.nodes == 5
    # inputs are alive throughout; at the last Transpose, mixed and merged beside them
    assert counted.peak_activation_bytes == 4 * (q + 2 * k + 2 * q)


def test_einsum_by_hand():
    model = build(
        [("Einsum", "q k", "y", {"equation": "bhid,bhjd->bhij"})],
        {"q": (F, (2, 3, 7, 5)), "k": (F, (2, 3, 4, 5))},
    )
    assert cost(model, {}).attention == 2 * 3 * 7 * 4 * 5


def test_an_embedding_is_read_row_by_row():
    model = build([("Gather", "table ids", "y", {})], {"ids": (np.int64, (1, 6))}, {"table": (F, (1000, 8))})
    counted = cost(model, {})
    assert counted.weight_bytes == 4 * 8000
    assert counted.bytes_moved == 8 * 6 + 2 * 4 * 6 * 8
    assert counted.least_bytes == counted.bytes_moved


def test_memory_is_of_what_is_alive():
    # x (4 elements) stays; a long value dies after its use, and a view does not take memory again
    nodes = [
        ("Expand", "x big", "a", {}),
        ("Reshape", "a flat", "b", {}),
        ("ReduceMax", "b", "c", {"keepdims": 0}),
        ("Add", "c x", "d", {}),
        ("Add", "d x", "y", {}),
    ]
    model = build(nodes, {"x": (F, (4,))}, {"big": np.array([100, 4]), "flat": np.array([-1])})
    assert cost(model, {}).peak_activation_bytes == 4 * (4 + 400 + 1)
    kept = build(
        nodes, {"x": (F, (4,))}, {"big": np.array([100, 4]), "flat": np.array([-1])}, outputs=["b", "y"]
    )
    assert cost(kept, {}).peak_activation_bytes == 4 * (4 + 400 + 4 + 4)


def test_what_follows_from_shapes_alone_costs_nothing():
    nodes = [("Shape", "x", "s", {}), ("ConstantOfShape", "s", "zeros", {}), ("Add", "x zeros", "y", {})]
    counted = cost(build(nodes, {"x": (F, ("n", 3))}), {"x": (5, 3)})
    assert (counted.nodes, counted.bytes_moved) == (1, 4 * 3 * 15)


# Counted apart from this code: pixels, GMAC. The UNet sees 77 tokens; attention of the autoencoder's middle counts.
COUNTED = [
    ("sd1-unet", 256, 90.1),
    ("sd1-unet", 512, 401.6),
    ("sd1-unet", 768, 1074),
    ("sd1-unet", 1024, 2337),
    ("sd1-vae_decoder", 256, 311),
    ("sd1-vae_decoder", 512, 1257),
    ("sd1-vae_decoder", 1024, 5235),
    ("sd1-vae_encoder", 512, 558),
    ("sd1-vae_encoder", 1024, 2439),
    ("taesd-taesd_decoder", 512, 70.7),
    ("sd1-text_encoder", 0, 6.65),
]


def shapes_of(name, pixels, batch=1, tokens=77):
    latent = (batch, 4, pixels // 8, pixels // 8)
    if name.endswith("unet"):
        return {"sample": latent, "encoder_hidden_states": (batch, tokens, 768)}
    if name.endswith("decoder"):
        return {"latent_sample": latent}
    return {"input_ids": (batch, tokens)} if "text" in name else {"sample": (batch, 3, pixels, pixels)}


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize(("name", "pixels", "giga"), COUNTED)
def test_stable_diffusion_within_half_a_percent(name, pixels, giga, dtype):
    assert cost(network(name, dtype), shapes_of(name, pixels)).macs / 1e9 == pytest.approx(giga, rel=0.005)


@pytest.mark.parametrize(
    ("pixels", "shares"), [(256, (62, 34, 5)), (512, (55, 29, 16)), (768, (47, 24, 29)), (1024, (38, 20, 42))]
)
def test_shares_of_stable_diffusions_unet(pixels, shares):
    counted = cost(network("sd1-unet"), shapes_of("sd1-unet", pixels))
    assert counted.conv + counted.linear + counted.attention == counted.macs
    parts = [100 * part / counted.macs for part in (counted.conv, counted.linear, counted.attention)]
    assert parts == pytest.approx(shares, abs=0.55)  # given in whole percent


def test_parameters_of_stable_diffusion_take_the_computed_type():
    for dtype, size in (("fp32", 4), ("fp16", 2)):
        counted = cost(network("sd1-unet", dtype), shapes_of("sd1-unet", 512))
        assert counted.weight_bytes == 859_520_964 * size


# Networks of arXiv:2112.10752, table 14, counted apart from this code: GMAC of a step and of the decode at 256 pixels
TABLE_14 = {
    1: (566.4, None),
    2: (241.5, 347),
    4: (101.2, 335),
    8: (39.8, 311),
    16: (9.4, 125),
    32: (2.3, 124),
}


@pytest.mark.parametrize("f", TABLE_14)
def test_the_papers_networks_within_half_a_percent(f):
    step, decode = TABLE_14[f]
    latent = LDMS[f].latent_shape(256, 256, 1)
    giga = cost(build_graph(f, "unet", "fp32"), {"sample": latent}).macs / 1e9
    assert giga == pytest.approx(step, rel=0.005, abs=0.05)  # steps are given to a tenth
    if decode is not None:
        counted = cost(build_graph(f, "decoder", "fp32"), {"latent_sample": latent})
        assert counted.macs / 1e9 == pytest.approx(decode, rel=0.005)


@settings(max_examples=8)
@given(
    batch=st.integers(1, 9), height=st.integers(1, 20), width=st.integers(1, 20), tokens=st.integers(1, 90)
)
def test_macs_and_activations_scale_with_the_batch(batch, height, width, tokens):
    model = network("demo-unet")

    def of(b):
        return cost(model, {"sample": (b, 4, height, width), "encoder_hidden_states": (b, tokens, 128)})

    one, two, many = of(1), of(2), of(batch)
    # The timestep is one for all pictures, so that its embedding is computed once.
    per_picture = {name: getattr(two, name) - getattr(one, name) for name in ("conv", "linear", "attention")}
    assert per_picture["conv"] == one.conv
    assert per_picture["attention"] == one.attention
    for name, part in per_picture.items():
        assert getattr(many, name) == getattr(one, name) + (batch - 1) * part
    moved = two.bytes_moved - one.bytes_moved
    assert many.bytes_moved == one.bytes_moved + (batch - 1) * moved
    assert many.weight_bytes == one.weight_bytes


def test_half_precision_moves_half_as_much():
    half, full = (cost(network("sd1-unet", dtype), shapes_of("sd1-unet", 512)) for dtype in ("fp16", "fp32"))
    assert half.bytes_moved / full.bytes_moved == pytest.approx(0.5, abs=1e-3)
    assert half.least_bytes / full.least_bytes == pytest.approx(0.5, abs=1e-3)


def test_attention_over_half_a_million_pixels_takes_no_memory_to_count():
    """The UNet of Stable Diffusion on 1024 x 1024 pixels in place of latents: scores of 2^20 tokens squared."""
    model = network("sd1-unet")
    tracemalloc.start()
    counted = cost(model, {"sample": (1, 4, 1024, 1024), "encoder_hidden_states": (1, 77, 768)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counted.peak_activation_bytes > 2 * 8 * 4 * 2**40
    assert peak < 50e6
