"""Random weights: their distribution, that a seed means the same file, and that networks stay finite under them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import latentrt_bench.random_weights as module
from latentrt.engine.providers import choose
from latentrt.engine.session import Session
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.models.weights import Weights, read_safetensors
from latentrt.networks import Graph, Variant
from latentrt.networks.graph import identity_graph
from latentrt_bench.latent_vs_pixel.ldm import LDMS, build_graph
from latentrt_bench.random_weights import SMALL, write_random_tensors, write_random_weights


def test_distributions(tmp_path):
    path = tmp_path / "w.safetensors"
    shapes = {
        "conv1.weight": (64, 32, 3, 3),
        "to_q.weight": (300, 200),
        "norm1.weight": (5000,),
        "norm1.bias": (5000,),
        "token_embedding.weight": (100, 200),
        "time_embedding.linear_1.weight": (100, 200),
    }
    write_random_tensors(shapes, path, seed=3)
    tensors = read_safetensors(path)
    assert {name: t.shape for name, t in tensors.items()} == shapes
    expected = {
        "conv1.weight": (0, 1 / math.sqrt(32 * 9)),
        "to_q.weight": (0, 1 / math.sqrt(200)),
        "norm1.weight": (1, SMALL),
        "norm1.bias": (0, SMALL),
        "token_embedding.weight": (0, SMALL),
        "time_embedding.linear_1.weight": (0, 1 / math.sqrt(200)),
    }
    for name, (mean, std) in expected.items():
        values = tensors[name].astype(np.float64)
        assert values.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(values.size)), name
        assert values.std() == pytest.approx(std, rel=0.03), name
        # float16's steps about 1.
        assert abs(values - mean).max() <= math.sqrt(3) * std * 1.001 + 0.0005, name
    assert not np.array_equal(tensors["to_q.weight"][:100], tensors["time_embedding.linear_1.weight"])


@given(
    shapes=st.lists(array_shapes(max_dims=4, max_side=6), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    chunk=st.integers(1, 50),
)
def test_a_seed_means_the_same_file_however_it_is_drawn(tmp_path_factory, shapes, seed, chunk):
    folder = tmp_path_factory.mktemp("weights")
    named = {f"{i}.weight": shape for i, shape in enumerate(shapes)}
    write_random_tensors(named, folder / "whole", seed)
    write_random_tensors(named, folder / "single", seed, "fp32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        write_random_tensors(named, folder / "chunks", seed)
    assert (folder / "whole").read_bytes() == (folder / "chunks").read_bytes()
    half, single = read_safetensors(folder / "whole"), read_safetensors(folder / "single")
    for name in named:
        assert half[name].dtype == np.float16 and single[name].dtype == np.float32
        np.testing.assert_array_equal(half[name], single[name])


def test_another_seed_draws_others(tmp_path):
    for seed in (0, 1):
        write_random_tensors({"weight": (10, 10)}, tmp_path / str(seed), seed)
    zero, one = (read_safetensors(tmp_path / str(seed))["weight"] for seed in (0, 1))
    assert not np.array_equal(zero, one)


def test_torch_s_libraries_are_told_the_format(tmp_path):
    write_random_tensors({"weight": (1,)}, tmp_path / "w")
    data = (tmp_path / "w").read_bytes()
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"] == {"format": "pt"}


def test_the_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    draws = iter(range(3))
    distribution = module._distribution

    def full(name, shape):
        if next(draws) == 2:
            raise OSError(28, "No space left on device")
        return distribution(name, shape)

    monkeypatch.setattr(module, "_distribution", full)
    (tmp_path / "w").write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        write_random_tensors(dict.fromkeys("abc", (5, 5)), tmp_path / "w")
    assert [file.name for file in tmp_path.iterdir()] == ["w"]
    assert (tmp_path / "w").read_bytes() == b"old"


def test_a_graph_without_parameters_is_refused(tmp_path):
    with pytest.raises(InputError, match="identity: has no parameters"):
        write_random_weights(Graph.parse(identity_graph(), "identity"), tmp_path / "w")


def compute(graph, folder, dtype, **inputs):
    path = folder / "random.safetensors"
    write_random_weights(graph, path)
    session = Session("random", graph, Weights((path,)), choose("cpu"), dtype)
    outputs = session.run(inputs)  # refuses what is not finite
    session.close()
    return outputs


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_networks_stay_finite(tmp_path, dtype):
    unet = open_model("demo").components["unet"].graph(Variant(dtype))
    context = noise(2, 5, unet.inputs["encoder_hidden_states"].shape[2])
    sample = noise(2, unet.inputs["sample"].shape[1], 8, 8)
    out = compute(
        unet, tmp_path, dtype, sample=sample, timestep=np.float32(500), encoder_hidden_states=context
    )
    assert 0.1 < out["out_sample"].std() < 10
    assert np.ptp(out["out_sample"], axis=0).max() > 0.01  # the samples differ, so what goes in counts
    for f in (2, 16):
        latents = LDMS[f].latent_shape(32, 32)
        picture = compute(build_graph(f, "decoder", dtype), tmp_path, dtype, latent_sample=noise(*latents))
        assert picture["sample"].shape == (1, 3, 32, 32) and 0.1 < picture["sample"].std() < 10
        moments = compute(build_graph(f, "encoder", dtype), tmp_path, dtype, sample=noise(1, 3, 32, 32))
        assert moments["latent_parameters"].shape == (1, 2 * latents[1], *latents[2:])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
@pytest.mark.parametrize("f", LDMS)
def test_the_papers_unets_stay_finite(tmp_path, f, dtype):
    shape = LDMS[f].latent_shape(64, 64)
    out = compute(
        build_graph(f, "unet", dtype), tmp_path, dtype, sample=noise(*shape), timestep=np.float32(500)
    )
    assert out["out_sample"].shape == shape and 0.1 < out["out_sample"].std() < 10
