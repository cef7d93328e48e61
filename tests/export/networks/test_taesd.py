"""TAESD's decoder against diffusers' AutoencoderTiny, and as a preview of the demo's own latents."""

import pytest
import torch
from checkpoints import randomize
from diffusers import AutoencoderTiny
from network_cases import BOUNDS, halves, relative, run, session, state

from latentrt.errors import ModelError
from latentrt.models.published import TAESD
from latentrt.networks import COMPUTES, build

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


@pytest.mark.parametrize("width", [8, 24])
def test_other_widths_and_depths_equal_diffusers(width):
    torch.manual_seed(1)
    widths = {"encoder_block_out_channels": (width,) * 3, "decoder_block_out_channels": (width,) * 3}
    other = randomize(
        AutoencoderTiny(
            **widths, num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(2, 1, 1), latent_channels=3
        ),
        1,
    )
    tensors = {name: value for name, value in state(other).items() if name.startswith("decoder.")}
    latents = halves(1, 3, 5, 4, std=2)
    with torch.inference_mode():
        wanted = other.decode(torch.tensor(latents)).sample
    got = run(session("taesd_decoder", other.config, "fp32", tensors), latent_sample=latents)["sample"]
    assert relative(got, wanted) < BOUNDS["fp32"]


def test_what_has_no_graph_is_named():
    with pytest.raises(ModelError, match="act_fn is 'gelu'"):
        build("taesd_decoder", {**TAESD, "act_fn": "gelu"})
    with pytest.raises(ModelError, match="decoder_block_out_channels"):
        build("taesd_decoder", {**TAESD, "num_decoder_blocks": [3, 1]})
