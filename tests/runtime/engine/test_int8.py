"""Networks in 8-bit integers: what computes in them, how near it is, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import latentrt
from latentrt.engine import networks as placing
from latentrt.engine.memory import Call, inputs_of
from latentrt.engine.networks import Networks, place
from latentrt.engine.providers import choose
from latentrt.engine.session import Session
from latentrt.errors import InputError, WeightsError
from latentrt.models.bundle import open_model
from latentrt.models.safetensors import safetensors_header, write_safetensors
from latentrt.models.weights import Weights
from latentrt.networks import Variant

CPU = choose("cpu")
INT8 = Variant("int8", fused_attention=True)


def feeds_of(component, height=9, width=14):
    rng = np.random.default_rng(0)
    sizes = {"batch": 2, "height": height, "width": width, "sequence": 7, "text_width": 48, "time_ids": 6}
    shapes = {
        name: tuple(sizes.get(d, d) for d in value.shape)
        for name, value in inputs_of(component, "fp32").items()
    }
    noise = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return noise | {"timestep": np.float32(300)}


def relative(component, **size):
    feeds = feeds_of(component, **size)
    exact, other = (
        Session("unet", component.graph(variant), component.weights, CPU, variant.compute).run(feeds)[
            "out_sample"
        ]
        for variant in (Variant(fused_attention=True), INT8)
    )
    assert other.shape == exact.shape
    return np.linalg.norm(other - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("model", ["random_model", "random_xl"])
def test_it_is_near_fp32_at_any_size(request, model):
    component = open_model(request.getfixturevalue(model)).components["unet"]
    for size in ({}, {"height": 16, "width": 16}):
        assert 0 < relative(component, **size) < 0.12


def test_bf16_weights_are_taken_for_what_they_hold(random_model, tmp_path):
    component = open_model(random_model).components["unet"]
    feeds, results = feeds_of(component), []
    names = [p.name for p in component.graph(Variant()).parameters]
    bits = {n: component.weights.array(n, np.float32).view(np.uint32) >> 16 for n in names}
    wide = {n: (b << 16).astype(np.uint32).view(np.float32) for n, b in bits.items()}
    files = tmp_path / "wide.safetensors", tmp_path / "bf16.safetensors"
    write_safetensors(files[0], wide)
    entries, at = {}, 0
    for name, array in bits.items():
        size = 2 * array.size
        entries[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [at, at + size]}
        at += size
    data = b"".join(b.astype("<u2").tobytes() for b in bits.values())
    files[1].write_bytes(safetensors_header(entries) + data)
    for file in files:
        session = Session("unet", component.graph(INT8), Weights((file,)), CPU, "int8")
        results.append(session.run(feeds)["out_sample"])
    np.testing.assert_allclose(*results, rtol=0, atol=1e-4)


def test_what_computes_in_it():
    placement = place("cpu", "int8")
    components = open_model("demo").components
    assert {name for name, c in components.items() if placement.dtype_of(c) == "int8"} == {
        "unet",
        "vae_decoder",
    }
    tiny = replace(
        components["vae_decoder"], class_name="AutoencoderTiny", config={"_class_name": "AutoencoderTiny"}
    )
    assert placement.dtype_of(tiny) == "fp32"


@pytest.mark.parametrize("tile", ["off", 128])
def test_a_decoded_picture_is_near(tile):
    """Also in tiles, whose norms take the moments of the whole picture: told by one graph, given to another."""
    latents = np.random.default_rng(0).standard_normal((1, 4, 17, 20)).astype(np.float32)
    pictures = []
    for dtype in ("fp32", "int8"):
        with latentrt.load("demo", device="cpu", dtype=dtype) as pipeline:
            pictures.append(pipeline.autoencoder.decode(latents, tile))
    assert pictures[0].shape == pictures[1].shape == (1, 3, 136, 160)
    error = np.linalg.norm(pictures[1] - pictures[0]) / np.linalg.norm(pictures[0])
    assert 0 < error < 0.06


def test_other_providers_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(
        placing, "choose", lambda device, threads: replace(CPU, name="openvino", has_int8=False)
    )
    with pytest.raises(InputError, match="int8 is computed on the CPU provider alone, and this is openvino"):
        place("auto", "int8")


def test_auto_stays_exact():
    assert place("cpu").dtype == "fp32"


def test_broken_weights_are_named(random_model, tmp_path):
    component = open_model(random_model).components["unet"]
    arrays = {p.name: component.weights.array(p.name) for p in component.graph(Variant()).parameters}
    name = "mid_block.resnets.0.conv1.weight"
    arrays[name] = np.full_like(arrays[name], np.nan)
    write_safetensors(tmp_path / "broken.safetensors", arrays)
    with pytest.raises(WeightsError, match=f"unet: tensor {name} holds NaN or infinity"):
        Session("unet", component.graph(INT8), Weights((tmp_path / "broken.safetensors",)), CPU, "int8")


def test_what_it_takes_is_predicted():
    """A quarter of the weights in fp32, and as much again while it is loaded."""
    model = open_model("demo")
    shapes = {"sample": (2, 4, 16, 16), "timestep": (), "encoder_hidden_states": (2, 77, 128)}
    exact, other = (
        Call(Networks(model, place("cpu", dtype)).runners["unet"], shapes) for dtype in ("fp32", "int8")
    )
    assert 0.24 < (other.weights - 8e6) / (exact.weights - 8e6) < 0.4
    assert other.loading(low_memory=True) > 0.7 * (other.weights - 8e6)


def test_a_picture_says_so_and_is_near(tmp_path):
    pictures = {}
    for dtype in ("fp32", "int8"):
        with latentrt.load("demo", device="cpu", dtype=dtype) as pipeline:
            result = pipeline.txt2img("a large red heart on a blue background", seed=1, num_inference_steps=4)
            assert pipeline.dtype == dtype
            assert pipeline.widened == ()
            pictures[dtype] = np.asarray(result.images[0], np.float64)
            assert (("Precision", "int8") in result.parameters[0].extra) == (dtype == "int8")
    error = np.mean((pictures["int8"] - pictures["fp32"]) ** 2)
    assert 10 * np.log10(255**2 / error) > 40
