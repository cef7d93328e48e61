"""The paper's models are what the paper describes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt.errors import InputError
from latentrt.networks.cost.macs import cost
from latentrt_bench.latent_vs_pixel.ldm import LDMS, build_graph

DTYPES = ("fp16", "fp32")
PARTS = [(f, part) for f, ldm in LDMS.items() for part in ldm.parts]
PARAMETERS = {  # equal to those of diffusers' classes: tests/export
    (1, "unet"): 270_458_115,
    (2, "unet"): 264_510_722,
    (4, "unet"): 274_056_163,
    (8, "unet"): 257_733_124,
    (16, "unet"): 257_751_560,
    (32, "unet"): 257_862_176,
    (2, "decoder"): 7_835_913,
    (4, "decoder"): 32_960_783,
    (8, "decoder"): 49_490_199,
    (16, "decoder"): 38_152_139,
    (32, "decoder"): 54_788_515,
    (2, "encoder"): 5_478_552,
    (4, "encoder"): 22_351_280,
    (8, "encoder"): 34_163_664,
    (16, "encoder"): 26_088_992,
    (32, "encoder"): 38_117_248,
}
PAPER_MILLIONS = {1: 270, 2: 265, 4: 274, 8: 258, 16: 260, 32: 258}  # table 14, "Model Size"
# GMAC of one call for a picture of 256×256 pixels (512×512 where a size is named), counted independently beforehand
GMACS = {
    (1, "unet", 256): 566.4,
    (2, "unet", 256): 241.5,
    (4, "unet", 256): 101.2,
    (8, "unet", 256): 39.8,
    (16, "unet", 256): 9.4,
    (32, "unet", 256): 2.33,
    (2, "decoder", 256): 347,
    (4, "decoder", 256): 335,
    (8, "decoder", 256): 311,
    (16, "decoder", 256): 125,
    (32, "decoder", 256): 124,
    (1, "unet", 512): 2320,
    (4, "unet", 512): 467,
    (4, "decoder", 512): 1547,
}


@pytest.mark.parametrize(("f", "part"), PARTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_parameter_counts(f, part, dtype):
    graph = build_graph(f, part, dtype)
    assert sum(math.prod(p.shape) for p in graph.parameters) == PARAMETERS[f, part]
    if part == "unet":
        assert PARAMETERS[f, part] == pytest.approx(PAPER_MILLIONS[f] * 1e6, rel=0.01)


@pytest.mark.parametrize(("f", "part", "size"), GMACS)
def test_macs(f, part, size):
    latents = LDMS[f].latent_shape(size, size)
    inputs = {"latent_sample": latents} if part == "decoder" else {"sample": latents, "timestep": ()}
    counted = cost(build_graph(f, part, "fp32"), inputs).macs
    assert counted == pytest.approx(GMACS[f, part, size] * 1e9, rel=0.005)


@pytest.mark.parametrize("f", LDMS)
def test_inputs_and_outputs(f):
    ldm = LDMS[f]
    c = ldm.latent_channels
    for dtype in DTYPES:
        unet = build_graph(f, "unet", dtype)
        assert {v.name: v.shape for v in unet.inputs.values()} == {
            "sample": ("batch", c, "height", "width"),
            "timestep": (),
        }
        assert unet.inputs["timestep"].dtype == "float32"
        assert unet.inputs["sample"].dtype == {"fp16": "float16", "fp32": "float32"}[dtype]
        assert list(unet.outputs) == ["out_sample"]
        if ldm.first_stage is not None:
            assert build_graph(f, "decoder", dtype).inputs["latent_sample"].shape[1] == c
            assert build_graph(f, "decoder", dtype).outputs["sample"].shape[1] == 3
            assert build_graph(f, "encoder", dtype).inputs["sample"].shape[1] == 3
            assert build_graph(f, "encoder", dtype).outputs["latent_parameters"].shape[1] == 2 * c


def test_what_is_denoised():
    """Table 14: the shapes of z for pictures of 256×256 pixels."""
    shapes = {f: ldm.latent_shape(256, 256)[1:] for f, ldm in LDMS.items()}
    assert shapes == {
        1: (3, 256, 256),
        2: (2, 128, 128),
        4: (3, 64, 64),
        8: (4, 32, 32),
        16: (8, 16, 16),
        32: (32, 8, 8),
    }


@given(st.sampled_from(list(LDMS)), st.integers(1, 2048), st.integers(1, 2048), st.integers(1, 9))
def test_latent_shape_is_for_whole_latents_only(f, width, height, batch):
    if width % f or height % f:
        with pytest.raises(InputError, match=rf"pixels for LDM-{f}; expected a multiple of {f}"):
            LDMS[f].latent_shape(width, height, batch)
    else:
        b, c, h, w = LDMS[f].latent_shape(width, height, batch)
        assert (b, c, h * f, w * f) == (batch, LDMS[f].latent_channels, height, width)


@pytest.mark.parametrize("f", [f for f in LDMS if f > 1])
def test_the_first_stage_halves_as_often_as_f_says(f):
    assert 2 ** (len(LDMS[f].first_stage) - 1) == f


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ((3, "unet", "fp32"), "LDM-3: no such model; expected one of 1, 2, 4, 8, 16, 32"),
        ((1, "decoder", "fp32"), "LDM-1: has no decoder; expected one of unet"),
        ((4, "unet", "int8"), "LDM-4 unet: dtype 'int8'; expected fp16 or fp32"),
    ],
)
def test_what_is_not_there_is_named(asked, named):
    with pytest.raises(InputError, match=named):
        build_graph(*asked)
