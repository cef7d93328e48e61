"""Random checkpoints of every family: the published counts of tensors and parameters, and folders that load."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import latentrt
from latentrt.engine.providers import choose
from latentrt.engine.session import Session
from latentrt.models.bundle import open_model
from latentrt.models.weights import read_safetensors
from latentrt.networks import Variant

TOOLS = Path(__file__).parents[2] / "tools"
pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not installed")
# Tensors and parameters of each published UNet.
UNETS = {
    "sd15": (686, 859_520_964),
    "sd15-inpaint": (686, 859_535_364),
    "ip2p": (686, 859_532_484),
    "bk-base": (442, 579_384_964),
    "bk-small": (396, 482_346_884),
    "bk-tiny": (358, 323_384_964),
    "lcm": (687, 859_602_884),
    "sd21": (686, 865_910_724),
    "sd21-base": (686, 865_910_724),
    "sd21-inpaint": (686, 865_925_124),
    "sd2-depth": (686, 865_913_604),
    "x4-upscaler": (687, 473_398_020),
    "sd-turbo": (686, 865_910_724),
    "sdxl": (1680, 2_567_463_684),
    "sdxl-turbo": (1680, 2_567_463_684),
    "sdxl-inpaint": (1680, 2_567_478_084),
    "sdxl-ip2p": (1680, 2_567_475_204),
    "refiner": (1220, 2_259_526_660),
    "ssd-1b": (944, 1_331_334_404),
    "vega": (564, 745_225_604),
    "koala-700m": (584, 782_822_724),
    "koala-1b": (790, 1_161_184_324),
    "playground": (1680, 2_567_463_684),
    "cosxl": (1680, 2_567_463_684),
}
# The others have blocks that one of these has.
QUICK = ("sd15", "x4-upscaler", "sdxl", "refiner", "ssd-1b", "koala-700m")
FAMILIES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in UNETS]
GREY = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))
PICTURES = {
    "x4-upscaler": ("upscale", {"image": GREY}),
    "sd2-depth": ("img2img", {"image": GREY, "depth": GREY, "strength": 1.0}),
}
TEXT_ENCODERS = {123_060_480, 340_387_840, 694_659_840}


@pytest.fixture(scope="module")
def tools():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        import families
        import make_random

        yield families.FAMILIES, make_random


def counts(shapes):
    return len(shapes), sum(map(math.prod, shapes.values()))


def test_every_family_is_counted(tools):
    assert set(tools[0]) == set(UNETS)


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_have_the_published_sizes(tools, family):
    found = {name: counts(shapes) for name, _, _, shapes in tools[1].networks(tools[0][family])}
    assert found.pop("unet") == UNETS[family]
    assert found.pop("vae") == ((204, 55_325_927) if family == "x4-upscaler" else (248, 83_653_863))
    assert {parameters for _, parameters in found.values()} <= TEXT_ENCODERS


@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_has_the_same_blocks(tools, family):
    families, make_random = tools
    whole, tiny = (list(make_random.networks(f)) for f in (families[family], families[family].tiny()))
    for (name, _, _, full), (_, _, _, small) in zip(whole, tiny, strict=True):
        modules = [
            {key.partition(".transformer_blocks")[0].rpartition(".layers")[0] for key in shapes}
            for shapes in (full, small)
        ]
        assert modules[0] == modules[1], name
        assert counts(small)[1] < 2e7


@pytest.mark.parametrize(
    ("family", "out", "more"),
    [
        ("ssd-1b", "model", []),
        ("sd21", "model.safetensors", ["--single-file"]),
        ("x4-upscaler", "model.safetensors", ["--single-file"]),
        pytest.param("x4-upscaler", "model", [], marks=pytest.mark.slow),
        pytest.param("sd2-depth", "model", [], marks=pytest.mark.slow),
        pytest.param("sd2-depth", "model.safetensors", ["--single-file"], marks=pytest.mark.slow),
        pytest.param("playground", "model.safetensors", ["--single-file"], marks=pytest.mark.slow),
    ],
)
def test_tiny_paints(tmp_path, family, out, more):
    out = tmp_path / out
    command = [sys.executable, str(TOOLS / "make_random.py"), family, str(out), "--tiny", *more]
    subprocess.run(command, check=True, capture_output=True)
    with latentrt.load(out, device="cpu") as pipeline:
        run, shown = PICTURES.get(family, ("txt2img", {}))
        settings = {"num_inference_steps": 1, "width": 64, "height": 64, "seed": 1}
        picture = getattr(pipeline, run)("a b c", **shown, **settings).images[0]
    assert picture.size == (64, 64)
    assert (
        len(
            set(picture.get_flattened_data() if hasattr(picture, "get_flattened_data") else picture.getdata())
        )
        > 50
    )


def test_a_tensor_s_values_follow_from_its_name(tools, tmp_path):
    families, make_random = tools
    for name in ("sd15", "sd15-inpaint"):
        make_random.write_folder(families[name].tiny(), tmp_path / name, 0, "fp16", [])
    one, other = (
        read_safetensors(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")
        for name in ("sd15", "sd15-inpaint")
    )
    differing = {name for name in one if one[name].tobytes() != other[name].tobytes()}
    assert differing == {"conv_in.weight"}


@pytest.mark.slow
@pytest.mark.parametrize("family", UNETS)
def test_every_family_in_int8_is_near_fp32(tools, tmp_path, family):
    families, make_random = tools
    make_random.write_folder(families[family].tiny(), tmp_path / "model", 0, "fp16", [])
    components = open_model(tmp_path / "model").components
    config = components["unet"].config
    sizes = {"batch": 2, "height": 9, "width": 14, "sequence": 7}
    if "text_encoder_2" in components:
        sizes["text_width"] = components["text_encoder_2"].config["projection_dim"]
        waves = config["projection_class_embeddings_input_dim"] - sizes["text_width"]
        sizes["time_ids"] = waves // config["addition_time_embed_dim"]
    rng = np.random.default_rng(0)
    for name in ("unet", "vae_decoder"):
        graphs = {
            dtype: components[name].graph(Variant(dtype, fused_attention=True)) for dtype in ("fp32", "int8")
        }
        shapes = {
            port: [sizes.get(d, d) for d in value.shape] for port, value in graphs["fp32"].inputs.items()
        }
        feeds = {port: rng.standard_normal(shape).astype(np.float32) for port, shape in shapes.items()}
        feeds |= {"class_labels": np.array([20, 350])} if "class_labels" in feeds else {}
        exact, other = (
            next(
                iter(Session(name, graph, components[name].weights, choose("cpu"), dtype).run(feeds).values())
            )
            for dtype, graph in graphs.items()
        )
        assert 0 < np.linalg.norm(other - exact) < 0.1 * np.linalg.norm(exact)
