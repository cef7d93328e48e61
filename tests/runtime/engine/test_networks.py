"""A model's networks: what they compute in, and that they are freed when it is promised."""

from dataclasses import replace

import pytest
from watch import Watch, resident_bytes

from latentrt.engine.networks import Networks, Placement
from latentrt.engine.providers import choose
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
    runner.session(TEXT)
    assert resident_bytes(runner.component.weights.files[0]) == 0
    runner.component.weights.array("text_model.final_layer_norm.weight").sum()
    assert resident_bytes(runner.component.weights.files[0]) > 0
