"""A model's networks: what they compute in, and that they are freed when it is promised."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from watch import Watch, resident_bytes

from latentrt.engine.networks import Networks, Placement, place
from latentrt.engine.providers import choose
from latentrt.errors import InputError
from latentrt.models.bundle import open_model

CPU = choose("cpu")
TEXT = {"input_ids": (1, 32)}
LATENT = {"latent_sample": (1, 4, 4, 4)}


@pytest.fixture
def model():
    return open_model("demo")


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


def test_each_network_computes_in_what_is_right_for_it(model):
    decoder = replace(model.components["vae_decoder"], fp32_only=True)
    mixed = replace(model, components={**model.components, "vae_decoder": decoder})
    for dtype in ("fp16", "fp32"):
        placement = Placement(CPU, dtype)
        assert (placement.dtype_of(decoder), placement.dtype_of(model.components["unet"])) == ("fp32", dtype)
        runners = Networks(mixed, placement).runners
        assert {name: runner.dtype for name, runner in runners.items()} == {
            "text_encoder": dtype,
            "unet": dtype,
            "vae_encoder": dtype,
            "vae_decoder": "fp32",
        }


@pytest.mark.parametrize("low_memory", [False, True])
def test_with_low_memory_a_stage_frees_its_network_in_the_end(model, watch, low_memory):
    networks = Networks(model, Placement(CPU, "fp32", low_memory))
    with networks.stage("text_encoder") as runner:
        session = runner.session(TEXT)
        assert watch.alive == ["text_encoder"]
    assert watch.alive == ([] if low_memory else ["text_encoder"])
    with pytest.raises(ZeroDivisionError), networks.stage("vae_decoder") as runner:
        session = runner.session(LATENT)
        raise ZeroDivisionError
    assert session is not None  # who still has it does not keep what is inside
    assert watch.alive == ([] if low_memory else ["text_encoder", "vae_decoder"])


def test_closed_networks_are_out_of_memory_and_load_again(model, watch):
    networks = Networks(model, Placement(CPU, "fp32"))
    held = [networks.runners["text_encoder"].session(TEXT), networks.runners["vae_decoder"].session(LATENT)]
    assert watch.alive == ["text_encoder", "vae_decoder"]
    assert networks.load_seconds == sum(session.load_seconds for session in held)
    networks.close()
    assert watch.alive == []
    networks.runners["text_encoder"].session(TEXT)
    assert watch.made == ["text_encoder", "vae_decoder", "text_encoder"]


def test_a_network_beside_the_models_own_is_loaded_once_and_freed_with_them(model, watch):
    networks = Networks(model, Placement(CPU, "fp32"))
    for _ in range(2):
        networks.beside(open_model("demo").components["vae_decoder"]).session(LATENT)
    assert (watch.made, watch.alive) == (["vae_decoder"], ["vae_decoder"])
    assert networks.load_seconds > 0
    networks.close()
    assert watch.alive == []


def test_weights_that_are_handed_over_do_not_stay_mapped(model):
    networks = Networks(model, Placement(replace(CPU, maps_weights=False), "fp32"))
    runner = networks.runners["text_encoder"]
    gc.collect()
    elsewhere = resident_bytes(
        runner.component.weights.files[0]
    )  # what other tests of this process still map
    runner.session(TEXT)
    assert resident_bytes(runner.component.weights.files[0]) <= elsewhere
    runner.component.weights.array("text_model.final_layer_norm.weight").sum()
    assert resident_bytes(runner.component.weights.files[0]) > elsewhere


def test_one_session_serves_all_sizes(model, watch):
    networks = Networks(model, Placement(CPU, "fp32"))
    decoder = networks.runners["vae_decoder"]
    for shape in ((1, 4, 4, 4), (2, 4, 6, 3), (1, 4, 4, 4)):
        latents = np.zeros(shape, np.float32)
        assert decoder.run({"latent_sample": latents})["sample"].shape[2:] == (8 * shape[2], 8 * shape[3])
    assert watch.made == ["vae_decoder"]


@pytest.mark.parametrize(("kept", "made"), [(1, 5), (2, 4), (3, 3)])
def test_where_sizes_are_pinned_the_last_ones_are_kept(model, watch, kept, made):
    networks = Networks(model, Placement(replace(CPU, pinned_sessions=kept), "fp32"))
    for side in (4, 5, 4, 6, 5):
        latents = np.zeros((1, 4, side, side), np.float32)
        networks.runners["vae_decoder"].run({"latent_sample": latents})
        assert len(watch.alive) <= kept
    assert len(watch.made) == made


def test_sessions_for_tiles_do_not_stand_beside_others(model, watch):
    decoder = Networks(model, Placement(CPU, "fp32")).runners["vae_decoder"]
    for norms in ("own", "told", "given", "given", "own"):
        decoder.session(LATENT, norms)
        assert watch.alive == ["vae_decoder"]
    assert len(watch.made) == 4


def test_threads_that_want_one_session_make_one(model, watch):
    encoder = Networks(model, Placement(CPU, "fp32")).runners["text_encoder"]
    ids = np.zeros((1, 32), np.int64)
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: encoder.run({"input_ids": ids})["last_hidden_state"], range(4)))
    assert watch.made == ["text_encoder"]
    assert all(np.array_equal(one, states[0]) for one in states)


def test_bf16_is_openvinos():
    with pytest.raises(
        InputError, match="dtype: bf16 is computed by OpenVINO alone, on processors with AVX512-BF16"
    ):
        place("cpu", "bf16")
