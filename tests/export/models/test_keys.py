"""The names of single files against diffusers and the original code, at full size without weights.

diffusers' converters are functions over dictionaries, so that torch's meta device holds all that they need.
"""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoints import randomize
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from kinds import CLIP_L, KINDS, OPEN_CLIP_G, OPEN_CLIP_H, OPEN_CLIP_H_24, VAE, X4_VAE, Kind
from safetensors.torch import save_file
from single_files import Stored, shapes_of, stored, stored_text, stored_unet, stored_vae
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from latentrt.models.keys import open_clip, unet, vae
from latentrt.models.safetensors import Tensor
from latentrt.models.weights import Weights


def shapes(module):
    """Of a module's parameters; transformers 5 leaves out the first word of a text encoder's."""
    word = "text_model." if hasattr(module, "embeddings") else ""
    return {f"{word}{name}": tuple(parameter.shape) for name, parameter in module.named_parameters()}


def on_meta(kind, config):
    with torch.device("meta"):
        return kind(config) if isinstance(config, CLIPTextConfig) else kind(**config)


def held(made: dict[str, Stored]):
    """A file's tensors, without weights."""
    return {name: torch.empty(tensor.shape, device="meta") for name, tensor in made.items()}


def shaped(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", KINDS)
def test_unet(name: str) -> None:
    kind: Kind = KINDS[name]
    module = on_meta(UNet2DConditionModel, kind.unet)
    theirs, layers = shapes(module), kind.unet["layers_per_block"]
    assert theirs == shapes_of("unet", kind.unet)  # what our own graph asks for
    made = stored_unet(theirs, layers)
    assert len(made) == len(theirs) == kind.tensors
    file = held(made)
    if "time_cond_proj_dim" in kind.unet:  # diffusers' converter knows no file of this kind
        del theirs["time_embedding.cond_proj.weight"]
    converted = convert_ldm_unet_checkpoint(file, {**module.config})
    assert shaped(converted) == theirs
    for key, tensor in made.items():  # each where we have it, not only one of its shape
        assert tensor.sources[0] not in theirs or converted[tensor.sources[0]] is file[key]
    own = [key.removeprefix("model.diffusion_model.") for key in made]
    assert unet.layers_per_block(own) == layers
    back = {key: unet.from_ldm(key, layers) for key in own}
    assert [made[f"model.diffusion_model.{key}"].sources for key in own] == [(back[key],) for key in own]


@pytest.mark.parametrize(
    ("config", "counts"), [(VAE, (248, 83_653_863)), (X4_VAE, (204, 55_325_927))], ids=["SD", "x4"]
)
def test_vae(config, counts) -> None:
    module = on_meta(AutoencoderKL, config)
    theirs = shapes(module)
    assert theirs == shapes_of("vae", config)
    assert (len(theirs), sum(p.numel() for p in module.parameters())) == counts
    made = stored_vae(theirs)
    assert len(made) == len(theirs)
    file = held(made)
    converted = convert_ldm_vae_checkpoint(file, config)
    assert shaped(converted) == theirs
    for key, tensor in made.items():
        got = converted[tensor.sources[0]]
        assert got is file[key] or got._base is file[key]  # a view without the 1×1
    own = [key.removeprefix("first_stage_model.") for key in made]
    levels = len(config["block_out_channels"])
    assert vae.levels(own) == vae.levels(theirs) == levels
    assert [made[f"first_stage_model.{key}"].sources for key in own] == [
        (vae.from_ldm(k, levels),) for k in own
    ]


@pytest.mark.parametrize(
    ("config", "count"),
    [(OPEN_CLIP_H, 340_387_840), (OPEN_CLIP_H_24, 354_032_640), (OPEN_CLIP_G, 694_659_840)],
    ids=["H, 23 layers", "H", "bigG"],
)
def test_open_clip(config, count) -> None:
    kind = CLIPTextModelWithProjection if "Projection" in config["architectures"][0] else CLIPTextModel
    module = on_meta(kind, CLIPTextConfig(**config))
    theirs, prefix = shapes(module), "conditioner.embedders.1.model."
    assert theirs == shapes_of("text_encoder", config)
    assert sum(p.numel() for p in module.parameters()) == count
    made = stored_text(theirs, prefix)
    assert len(made) == len(theirs) - 4 * config["num_hidden_layers"]  # rows of three in one, twice a layer
    converted = convert_open_clip_checkpoint(
        SimpleNamespace(config=module.config, dtype=torch.float32), held(made), prefix
    )
    assert shaped(converted) == theirs
    lying = {
        name.removeprefix(prefix): Tensor(
            name, "F16", tensor.shape, "f", 0, 2 * torch.Size(tensor.shape).numel()
        )
        for name, tensor in made.items()
    }
    assert {name: tensor.shape for name, tensor in open_clip.from_open_clip(lying).items()} == theirs


def test_values_of_open_clip_are_those_that_diffusers_takes(tmp_path) -> None:
    """Rows of three projections in one, and a projection the other way round."""
    small = {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 80, "num_hidden_layers": 2}
    config = CLIPTextConfig(**{**OPEN_CLIP_G, **small, "vocab_size": 50, "projection_dim": 64})
    module = randomize(CLIPTextModelWithProjection(config), 0)
    arrays = {name: value.detach().numpy() for name, value in module.named_parameters()}
    made = stored_text({name: array.shape for name, array in arrays.items()}, "x.model.")
    file = {name: torch.tensor(tensor.of(arrays)) for name, tensor in made.items()}
    theirs = convert_open_clip_checkpoint(module, file, "x.model.")
    save_file({name: value.contiguous() for name, value in file.items()}, tmp_path / "x.safetensors")
    weights = Weights((tmp_path / "x.safetensors",))
    ours = open_clip.from_open_clip({name.removeprefix("x.model."): t for name, t in weights.items()})
    assert ours.keys() == theirs.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(theirs[name], array)
        np.testing.assert_array_equal(weights.read(ours[name]), array)


def test_clip_l() -> None:
    module = on_meta(CLIPTextModel, CLIPTextConfig(**CLIP_L))
    assert shapes(module) == shapes_of("text_encoder", CLIP_L)
    assert sum(p.numel() for p in module.parameters()) == 123_060_480


@pytest.mark.parametrize(("family", "kind"), [("sd15", "sd1"), ("sdxl", "sdxl")])
def test_whole_files_are_those_of_the_original_code(family: str, kind: str, data_file) -> None:
    """Against a table that was made of published checkpoints by others."""
    path = data_file("comfy/make_checkpoint.py")
    spec = importlib.util.spec_from_file_location("make_checkpoint", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    unused = ("position_ids", "logit_scale")  # no network computes with them
    wanted = {name: shape for name, shape, *_ in module.table(family) if not name.endswith(unused)}
    assert {name: tensor.shape for name, tensor in stored(KINDS[kind]).items()} == wanted
