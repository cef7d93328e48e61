"""TAESD's halves against diffusers' AutoencoderTiny."""

import pytest
import torch
from checkpoints import randomize
from diffusers import AutoencoderTiny
from network_cases import BOUNDS, halves, relative, run, session, state

from latentrt.errors import ModelError
from latentrt.models.published import TAESD
from latentrt.networks import COMPUTES, build

NAMED = {"_class_name": "AutoencoderTiny"}
SIZES = [(1, 8, 8), (2, 5, 12)]


def only(network: AutoencoderTiny, half: str) -> dict:
    return {name: value for name, value in state(network).items() if name.startswith(f"{half}.")}


@pytest.fixture(scope="module")
def tiny() -> AutoencoderTiny:
    torch.manual_seed(0)
    return randomize(AutoencoderTiny(), 0)


@pytest.mark.parametrize("compute", COMPUTES)
def test_decoder_equals_diffusers(tiny, compute):
    tensors = only(tiny, "decoder")
    graph = session("taesd_decoder", tiny.config, compute, tensors)
    for batch, height, width in SIZES:
        latents = halves(batch, 4, height, width, std=2)  # beyond ±3 as well, where they are bent in
        with torch.inference_mode():
            wanted = tiny.decode(torch.tensor(latents)).sample
        got = run(graph, latent_sample=latents)["sample"]
        assert got.shape == (batch, 3, 8 * height, 8 * width)
        assert relative(got, wanted) < BOUNDS[compute], (batch, height, width)


@pytest.mark.parametrize("compute", COMPUTES)
def test_both_halves_as_a_models_autoencoder_equal_diffusers(tiny, compute):
    graphs = {
        half: session(f"vae_{half}", {**tiny.config, **NAMED}, compute, only(tiny, half))
        for half in ("encoder", "decoder")
    }
    for batch, height, width in SIZES:
        latents, pixels = halves(batch, 4, height, width), halves(batch, 3, 8 * height, 8 * width)
        with torch.inference_mode():
            encoded, decoded = (
                tiny.encode(torch.tensor(pixels)).latents,
                tiny.decode(torch.tensor(latents)).sample,
            )
        got = run(graphs["encoder"], sample=pixels)["latent_parameters"]
        assert relative(got, encoded) < BOUNDS[compute], (batch, height, width)
        assert relative(run(graphs["decoder"], latent_sample=latents)["sample"], decoded) < BOUNDS[compute]


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
    tensors = only(other, "decoder")
    latents = halves(1, 3, 5, 4, std=2)
    with torch.inference_mode():
        wanted = other.decode(torch.tensor(latents)).sample
    got = run(session("taesd_decoder", other.config, "fp32", tensors), latent_sample=latents)["sample"]
    assert relative(got, wanted) < BOUNDS["fp32"]
    pixels = halves(1, 3, 20, 16)
    with torch.inference_mode():
        wanted = other.encode(torch.tensor(pixels)).latents
    tensors = only(other, "encoder")
    got = run(session("vae_encoder", {**other.config, **NAMED}, "fp32", tensors), sample=pixels)[
        "latent_parameters"
    ]
    assert got.shape == (1, 3, 5, 4) and relative(got, wanted) < BOUNDS["fp32"]


def test_what_has_no_graph_is_named():
    with pytest.raises(ModelError, match="act_fn is 'gelu'"):
        build("taesd_decoder", {**TAESD, "act_fn": "gelu"})
    with pytest.raises(ModelError, match="decoder_block_out_channels"):
        build("taesd_decoder", {**TAESD, "num_decoder_blocks": [3, 1]})
    with pytest.raises(ModelError, match="encoder_block_out_channels"):
        build("vae_encoder", {**TAESD, "encoder_block_out_channels": [64, 64, 64, 32]})
    with pytest.raises(ModelError, match="mid_block_add_attention is True"):
        build("vae_encoder", {**TAESD, "mid_block_add_attention": True})
