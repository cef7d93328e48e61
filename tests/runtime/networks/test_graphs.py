"""What builders write: the same bytes for the same config, ports by variant, parameters."""

import hashlib
import math

import numpy as np
import onnxruntime as ort
import pytest

from latentrt.models.bundle import open_model
from latentrt.models.published import SD1_INPAINT_UNET, SD1_TEXT_ENCODER, SD1_UNET, SD1_VAE, TAESD
from latentrt.networks import COMPUTES, Variant, build
from latentrt.networks.emitter import Emitter

# sha256 of the graphs that were proven against torch, and that bundles in circulation hold: a builder that writes
# another graph for a published config says so here.
DIGESTS = {
    "text_encoder": {
        "fp16": "7624f112980fa93efc43f9be4bdae09dfdfd44c72f81a5ec285427af043de259",
        "fp32": "e2c9211b2dee9648241df1aca254434bd27a38dd9588987e296506ee03559a67",
    },
    "unet": {
        "fp16": "d2666b9febdfd962177f45600cb669af876b038e8a15571d21d107f640290a77",
        "fp32": "b36d9d15f818911472151a8cd46186cc731292734bfff428345ff69532d9e9ce",
    },
    "vae_encoder": {
        "fp16": "f0871d87c2d7c7933b60bc14f8c8d7387e08c9b007b4b45fdfd7614d3435160a",
        "fp32": "5f3e00b23283cd40c5aa8f697fde87915a0831d1b864fee68787099602583324",
    },
    "vae_decoder": {
        "fp16": "1c266c230187c1669b4f250c8f108dd751107fce288f0d35dca7da1ed68af254",
        "fp32": "1ea572437918a0fc67ec7beb81c437794368ed7512c35f2fa9832386ec81a7b9",
    },
    "taesd_decoder": {
        "fp16": "d6aac851f47f9b368a00c21b5fb5e4c66b9bd50b6e6183d83cd62307baea62e3",
        "fp32": "8c973194b59fc77526f0e93bd276573761bcd6b9afe3e81b065db4d0b1d3fcbc",
    },
}


# Stable Diffusion 2.1's, as published.
SD2_UNET = {
    **SD1_UNET,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "dual_cross_attention": False,
    "only_cross_attention": False,
    "num_class_embeds": None,
    "sample_size": 96,
    "use_linear_projection": True,
    "upcast_attention": True,
}


def digest(graph):
    return hashlib.sha256(graph.serialize()).hexdigest()


PUBLISHED = {
    "text_encoder": SD1_TEXT_ENCODER,
    "unet": SD1_UNET,
    "vae_encoder": SD1_VAE,
    "vae_decoder": SD1_VAE,
    "taesd_decoder": TAESD,
}


@pytest.mark.parametrize("component", PUBLISHED)
def test_published_configs_give_the_graphs_that_were_proven(component):
    found = {
        compute: digest(build(component, PUBLISHED[component], Variant(compute))) for compute in COMPUTES
    }
    assert found == DIGESTS[component]


def test_the_share_of_convolutions():
    """Up to three quarters of Stable Diffusion 1.5's UNet, nearly all of a VAE, none of a text encoder."""
    shares = {
        name: build(name, config, Variant("fp32")).convolution_share for name, config in PUBLISHED.items()
    }
    assert 0.5 < shares["unet"] < 0.8
    assert shares["vae_decoder"] > 0.9
    assert shares["text_encoder"] == 0


@pytest.mark.parametrize(
    ("component", "config", "parameters"),
    [
        ("unet", SD1_UNET, 859_520_964),
        ("unet", SD1_INPAINT_UNET, 859_535_364),
        ("unet", SD2_UNET, 865_910_724),
        ("text_encoder", SD1_TEXT_ENCODER, 123_060_480),
        ("vae_decoder", SD1_VAE, 49_490_199),
    ],
)
def test_published_networks_have_as_many_parameters_as_published(component, config, parameters):
    for compute in COMPUTES:
        graph = build(component, config, Variant(compute))
        assert sum(math.prod(parameter.shape) for parameter in graph.parameters) == parameters
        assert all(parameter.is_cast == (compute == "fp32") for parameter in graph.parameters)


def test_norms_tell_and_take_their_moments_under_their_names():
    component = open_model("demo").components["vae_decoder"]
    plain, told, given = (component.graph(Variant("fp16", norms)) for norms in ("own", "told", "given"))
    norms = {name.removesuffix(".mean") for name in told.outputs if name.endswith(".mean")}
    assert "decoder.conv_norm_out" in norms and len(norms) == plain.operators["", "InstanceNormalization"]
    assert set(told.outputs) - set(plain.outputs) == {f"{n}.{of}" for n in norms for of in ("mean", "square")}
    assert set(given.inputs) - set(plain.inputs) == {
        f"{n}.{of}" for n in norms for of in ("mean", "variance")
    }
    assert not given.operators["", "InstanceNormalization"]
    assert {value.dtype for name, value in given.inputs.items() if name not in plain.inputs} == {
        np.dtype(np.float32)
    }
    assert (
        [p.name for p in plain.parameters]
        == [p.name for p in told.parameters]
        == [p.name for p in given.parameters]
    )


def test_a_value_can_be_given_out_twice_and_an_input_too():
    e = Emitter(Variant())
    x = e.input("x", (2,))
    y = e.op("Relu", x)
    for name, value in (("first", y), ("second", y), ("same", x)):
        e.output(name, value, (2,))
    session = ort.InferenceSession(e.finish("twice").serialize(), providers=["CPUExecutionProvider"])
    results = session.run(["first", "second", "same"], {"x": np.array([-1, 2], np.float32)})
    np.testing.assert_array_equal(results, [[0, 2], [0, 2], [-1, 2]])
