"""TAESD's decoder against diffusers' AutoencoderTiny, and as a preview of the demo's own latents."""

import pytest
import torch
from checkpoints import randomize
from diffusers import AutoencoderTiny
from test_graphs import BOUNDS, halves, relative, run, session, state

from latentrt.errors import ModelError
from latentrt.fingerprint import find_graph
from latentrt_export.graphs import COMPUTES, build_graph
from latentrt_export.published import TAESD

SIZES = [(1, 8, 8), (2, 5, 12)]


@pytest.fixture(scope="module")
def tiny() -> AutoencoderTiny:
    torch.manual_seed(0)
    return randomize(AutoencoderTiny(), 0)


@pytest.mark.parametrize("compute", COMPUTES)
def test_decoder_equals_diffusers(tiny, compute):
    tensors = {name: value for name, value in state(tiny).items() if name.startswith("decoder.")}
    graph = session("taesd_decoder", tiny.config, compute, tensors)
    for batch, height, width in SIZES:
        latents = halves(batch, 4, height, width, std=2)  # beyond ±3 as well, where they are bent in
        with torch.inference_mode():
            wanted = tiny.decode(torch.tensor(latents)).sample
        got = run(graph, latent_sample=latents)["sample"]
        assert got.shape == (batch, 3, 8 * height, 8 * width)
        assert relative(got, wanted) < BOUNDS[compute], (batch, height, width)


def test_configurations_of_every_age_find_the_shipped_graph(tiny):
    assert (
        find_graph("taesd_decoder", TAESD)
        == find_graph("taesd_decoder", dict(tiny.config))
        == "taesd-decoder"
    )
    assert find_graph("taesd_decoder", {**TAESD, "decoder_block_out_channels": [32] * 4}) is None


def test_what_has_no_graph_is_named():
    with pytest.raises(ModelError, match="act_fn is 'gelu'"):
        build_graph("taesd_decoder", {**TAESD, "act_fn": "gelu"}, "fp32")
    with pytest.raises(ModelError, match="decoder_block_out_channels"):
        build_graph("taesd_decoder", {**TAESD, "num_decoder_blocks": [3, 1]}, "fp32")
