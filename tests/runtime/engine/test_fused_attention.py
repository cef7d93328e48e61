"""Attention as one node: the same results and MACs, without the memory for the scores."""

from collections import Counter

import numpy as np
import pytest

from latentrt.engine.memory import inputs_of
from latentrt.engine.providers import choose
from latentrt.engine.session import Session
from latentrt.models.bundle import open_model
from latentrt.networks import Variant
from latentrt.networks.cost.macs import cost

CPU = choose("cpu")
FUSED = Variant(fused_attention=True)


def operators(graph):
    return Counter(node.op_type for node in graph.proto.graph.node)


def feeds_of(component, size):
    rng = np.random.default_rng(0)
    sizes = {"batch": 2, "height": size, "width": size + 3, "sequence": 7}
    shapes = {
        name: tuple(sizes.get(d, d) for d in value.shape)
        for name, value in inputs_of(component, "fp32").items()
    }
    noise = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return noise | {"timestep": np.float32(300)}


@pytest.mark.parametrize("compute", ["fp32", "fp16"])
@pytest.mark.parametrize("size", [8, 31])
def test_it_gives_what_products_and_softmax_give(random_model, compute, size):
    component = open_model(random_model).components["unet"]
    plain, fused = Variant(compute), Variant(compute, fused_attention=True)
    given = [
        Session("unet", component.graph(variant), component.weights, CPU, compute).run(
            feeds_of(component, size)
        )
        for variant in (plain, fused)
    ]
    allowed = 1e-5 if compute == "fp32" else 1e-2
    np.testing.assert_allclose(given[1]["out_sample"], given[0]["out_sample"], rtol=0, atol=allowed)


def test_it_is_in_the_unet_that_runs_here_and_in_no_other():
    components = open_model("demo").components
    count = {name: operators(c.graph(FUSED))["MultiHeadAttention"] for name, c in components.items()}
    products = {name: operators(c.graph(Variant()))["Softmax"] for name, c in components.items()}
    assert count == {name: products[name] if name == "unet" else 0 for name in components}
    assert count["unet"] > 0
    assert operators(components["unet"].graph(Variant()))["MultiHeadAttention"] == 0


def test_its_multiplications_are_counted_and_its_scores_are_not():
    component = open_model("demo").components["unet"]
    shapes = {name: np.shape(value) for name, value in feeds_of(component, 64).items()}
    plain, fused = (cost(component.graph(variant), shapes) for variant in (Variant(), FUSED))
    assert (fused.conv, fused.linear, fused.attention) == (plain.conv, plain.linear, plain.attention)
    assert fused.weight_bytes == plain.weight_bytes
    assert fused.peak_activation_bytes < plain.peak_activation_bytes / 2
