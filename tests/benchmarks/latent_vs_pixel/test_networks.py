"""The networks that are measured are loaded as the runtime loads them."""

from dataclasses import replace

import pytest

from latentrt.engine.providers import choose
from latentrt.errors import InputError
from latentrt_bench.latent_vs_pixel import networks
from latentrt_bench.random_weights import write_random_weights

CPU = choose("cpu")


@pytest.mark.parametrize("pinned", [0, 2])
def test_sizes_are_pinned_where_the_runtime_pins_them(pinned, tmp_path, monkeypatch):
    asked = ("ldm-2-decoder", "fp32", 32, 16, 1)
    graph, _ = networks.network(*asked)
    weights = tmp_path / "weights.safetensors"
    write_random_weights(graph, weights)
    monkeypatch.setattr(networks, "choose", lambda device: replace(CPU, pinned_sessions=pinned))
    contender = networks.Network(*asked, str(weights), "cpu")
    contender.run()
    assert contender.session.dimensions == ({"batch": 1, "height": 8, "width": 16} if pinned else {})


@pytest.mark.parametrize("name", ["sd1-unet", "ldm-4-unet"])
def test_what_it_computes_in_is_never_guessed(name):
    with pytest.raises(InputError, match="dtype 'int4'; expected fp16 or fp32"):
        networks.network(name, "int4", 64, 64, 1)
