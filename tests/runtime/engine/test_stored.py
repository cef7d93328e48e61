"""Weights are taken as they are stored: the same results, one copy, and tables are read before they are widened."""

from collections import Counter

import numpy as np
import pytest

from latentrt.engine.providers import choose
from latentrt.engine.session import Session
from latentrt.engine.stored import take_as_stored
from latentrt.models.bundle import open_model
from latentrt.networks import Variant

CPU = choose("cpu")


def operators(graph):
    return Counter(node.op_type for node in graph.proto.graph.node)


@pytest.mark.parametrize("name", ["text_encoder", "unet", "vae_decoder"])
def test_no_weight_is_transposed(name):
    component = open_model("demo").components[name]
    plain, taken = component.graph(Variant()), component.graph(Variant())
    take_as_stored(taken)
    before, after = operators(plain), operators(taken)
    linears = sum(len(p.shape) == 2 and not p.name.endswith("embedding.weight") for p in plain.parameters)
    assert after["FusedMatMul"] == linears
    assert before["MatMul"] - after["MatMul"] == linears
    assert before["Transpose"] - after["Transpose"] == linears
    assert before["Cast"] == after["Cast"]
    assert [(p.name, p.shape) for p in plain.parameters] == [(p.name, p.shape) for p in taken.parameters]


def test_a_table_is_read_before_it_is_widened():
    graph = open_model("demo").components["text_encoder"].graph(Variant())
    table = "text_model.embeddings.token_embedding.weight"
    take_as_stored(graph)
    (reader,) = (node for node in graph.proto.graph.node if table in node.input)
    assert reader.op_type == "Gather"
    made = set(graph.inputs) | {t.name for t in graph.proto.graph.initializer}
    for node in graph.proto.graph.node:  # each reads what is there
        assert {name for name in node.input if name} <= made, node.name
        made |= set(node.output)


@pytest.mark.parametrize("streams", [False, True])
def test_a_text_encoder_says_the_same_however_its_weights_are_held(random_model, streams):
    component = open_model(random_model).components["text_encoder"]
    ids = np.arange(64).reshape(2, 32) % 400
    plain = Session(
        "text_encoder", component.graph(Variant()), component.weights, CPU, "fp32", low_memory=True
    )
    other = Session(
        "text_encoder", component.graph(Variant()), component.weights, CPU, "fp32", streams=streams
    )
    expected, got = (session.run({"input_ids": ids}) for session in (plain, other))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
