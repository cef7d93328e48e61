"""Unconditional UNets against diffusers' UNet2DModel, and the benchmark's graphs against diffusers' classes."""

import pytest
import torch
from checkpoints import randomize
from diffusers import AutoencoderKL, UNet2DModel
from network_cases import BOUNDS, halves, relative, run, session, state
from torch.utils.flop_counter import FlopCounterMode

from latentrt.errors import ModelError
from latentrt.networks import COMPUTES, build
from latentrt.networks.cost.macs import cost
from latentrt_bench.latent_vs_pixel.ldm import LDMS, build_graph

UNETS = {
    "attention below the first level": {},
    "attention everywhere, one level's blocks": {
        "block_out_channels": (32,),
        "down_block_types": ("AttnDownBlock2D",),
        "up_block_types": ("AttnUpBlock2D",),
        "layers_per_block": 2,
    },
    "one head, another time": {
        "attention_head_dim": None,
        "time_embedding_dim": 40,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    },
    "padded by hand": {"downsample_padding": 0, "norm_eps": 1e-6, "norm_num_groups": 4},
    "attention on the way up only": {
        "down_block_types": ("DownBlock2D",) * 3,
        "in_channels": 5,
        "out_channels": 2,
    },
}
SIZES = [(1, 16, 16, 0.0), (2, 8, 24, 481.37), (3, 4, 4, 999.0)]  # batch, height, width, timestep


def make_unet(**config):
    torch.manual_seed(0)
    settings = {
        "block_out_channels": (16, 32, 48),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "attention_head_dim": 16,
        "norm_num_groups": 8,
    }
    return randomize(UNet2DModel(**{**settings, **config}), 0)


@pytest.mark.parametrize("kind", UNETS)
@pytest.mark.parametrize("compute", COMPUTES)
def test_equals_diffusers(kind, compute):
    unet = make_unet(**UNETS[kind])
    graph = session("unconditional_unet", unet.config, compute, state(unet))
    for batch, height, width, timestep in SIZES:
        sample = halves(batch, unet.config.in_channels, height, width)
        got = run(graph, sample=sample, timestep=timestep)["out_sample"]
        with torch.inference_mode():
            wanted = unet(torch.tensor(sample), torch.tensor(timestep)).sample
        assert relative(got, wanted) < BOUNDS[compute], (batch, height, width)


def test_odd_sizes_run():
    """diffusers' class joins no odd sizes; the graph takes each upsampling's size from the skip connection."""
    unet = make_unet()
    graph = session("unconditional_unet", unet.config, "fp32", state(unet))
    assert run(graph, sample=halves(1, 3, 9, 13), timestep=1.0)["out_sample"].shape == (1, 3, 9, 13)


@pytest.fixture(scope="module", params=LDMS, ids=lambda f: f"LDM-{f}")
def ldm(request):
    return LDMS[request.param]


@pytest.fixture(scope="module")
def unet(ldm):
    with torch.device("meta"):
        return UNet2DModel.from_config(ldm.unet_config).eval()


@pytest.fixture(scope="module", params=[f for f in LDMS if f > 1], ids=lambda f: f"LDM-{f}")
def staged(request):
    """A model with a first stage, and that as diffusers has it."""
    ldm = LDMS[request.param]
    with torch.device("meta"):
        return ldm, AutoencoderKL.from_config(ldm.first_stage_config).eval()


def shapes(graph):
    return {p.name: p.shape for p in graph.parameters}


def torch_macs(call, *arguments):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*arguments)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("compute", COMPUTES)
def test_the_papers_unets_have_the_parameters_of_diffusers(ldm, unet, compute):
    assert shapes(build_graph(ldm.f, "unet", compute)) == {
        n: tuple(p.shape) for n, p in unet.named_parameters()
    }


@pytest.mark.parametrize("compute", COMPUTES)
def test_the_first_stages_have_the_parameters_of_diffusers(staged, compute):
    ldm, vae = staged
    both = shapes(build_graph(ldm.f, "encoder", compute)) | shapes(build_graph(ldm.f, "decoder", compute))
    assert both == {n: tuple(p.shape) for n, p in vae.named_parameters()}


@pytest.mark.parametrize("size", [256, 512])
def test_the_papers_unets_cost_what_torch_counts(ldm, unet, size):
    shape = ldm.latent_shape(size, size)
    counted = cost(build_graph(ldm.f, "unet", "fp32"), {"sample": shape, "timestep": ()}).macs
    assert counted == torch_macs(unet, torch.empty(shape, device="meta"), 1)


def test_the_first_stages_cost_what_torch_counts(staged):
    ldm, vae = staged
    latents, pixels = ldm.latent_shape(256, 256), (1, 3, 256, 256)
    decoder, encoder = build_graph(ldm.f, "decoder", "fp32"), build_graph(ldm.f, "encoder", "fp32")
    assert cost(decoder, {"latent_sample": latents}).macs == torch_macs(
        vae.decode, torch.empty(latents, device="meta")
    )
    assert cost(encoder, {"sample": pixels}).macs == torch_macs(
        vae.encode, torch.empty(pixels, device="meta")
    )


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"down_block_types": ["SkipDownBlock2D"] * 4}, "down_block_types"),
        ({"attention_head_dim": 100}, "attention_head_dim"),
        ({"mid_block_scale_factor": 1.5}, "mid_block_scale_factor"),
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"downsample_type": "resnet"}, "downsample_type"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type"),
    ],
)
def test_what_has_no_graph_is_named(config, named):
    with pytest.raises(ModelError, match=rf"unconditional_unet: config\.json: {named} is"):
        build("unconditional_unet", {**LDMS[4].unet_config, **config})
