"""A model in one file as a diffusers folder: it means the same, whoever opens it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kinds import CLIP_L, KINDS, OPEN_CLIP_G, XL, Kind
from single_files import shapes_of, stored, write_kind

import latentrt
from latentrt.models.bundle import open_model
from latentrt.models.layout import CHECKPOINT_FOLDERS
from latentrt.models.model import Model
from latentrt.models.safetensors import write_safetensors
from latentrt.networks import Variant
from latentrt.text.folder_writer import write_descriptions, write_folder
from latentrt.text.tokenizer import clip_tokenizer, load_tokenizer

PROMPT = "A photograph of an astronaut, riding 2 horses! (été)"
VAE = {"block_out_channels": [32, 32], "norm_num_groups": 32, "down_block_types": ["DownEncoderBlock2D"] * 2,
       "up_block_types": ["UpDecoderBlock2D"] * 2, "layers_per_block": 1}  # fmt: skip


def said(model: Model, name: str) -> object:
    component = model.components[name]
    return (
        component.graph(Variant()).serialize(),
        component.fp32_only,
        component.options.get("scaling_factor"),
    )


FAST = ("sd1", "sd2", "refiner", "lcm")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
)
def test_it_means_the_same(name: str, tmp_path: Path) -> None:
    file = open_model(write_kind(tmp_path / "model.safetensors", KINDS[name]))
    write_descriptions(file, tmp_path / "folder")
    folder = open_model(tmp_path / "folder")
    assert folder.components.keys() == file.components.keys()
    for part in file.components:
        assert said(folder, part) == said(file, part)
    assert not folder.repairs
    assert folder.scheduler_config == file.scheduler_config
    assert folder.defaults == file.defaults
    assert folder.default_size == file.default_size
    assert (folder.purpose, folder.edited_scale) == (file.purpose, file.edited_scale)
    assert folder.zeroes_empty_negative == file.zeroes_empty_negative
    for encoder in file.text_encoders:
        ours = clip_tokenizer(file.pad_tokens[encoder]).encode(PROMPT)
        theirs = load_tokenizer(folder.root / encoder.replace("text_encoder", "tokenizer")).encode(PROMPT)
        assert np.array_equal(ours.ids, theirs.ids)


@pytest.mark.parametrize("name", ["dmd2_4step_unet", "Hyper-SDXL-1step", "sd_xl_turbo", "lcm", "my-sdxl"])
def test_what_a_name_says_is_kept(name: str, tmp_path: Path) -> None:
    file = open_model(write_kind(tmp_path / f"{name}.safetensors", KINDS["sdxl"]))
    write_descriptions(file, tmp_path / "folder")
    folder = open_model(tmp_path / "folder")
    assert (folder.scheduler_config, folder.defaults) == (file.scheduler_config, file.defaults)


def test_the_included_model_paints_the_same(tmp_path: Path) -> None:
    write_folder(open_model("demo"), tmp_path)
    settings = {"seed": 1, "num_inference_steps": 1, "width": 32, "height": 32}
    latents = []
    for model in ("demo", tmp_path):
        with latentrt.load(model, device="cpu") as pipeline:
            latents.append(pipeline.start_txt2img("a red heart", **settings).latents())
    np.testing.assert_array_equal(*latents)


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    """SDXL's networks in small, as one file names them: joined and transposed tensors, 1×1 convolutions."""
    first = {
        **CLIP_L,
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
    }
    second = {**OPEN_CLIP_G, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1,
              "num_hidden_layers": 2, "projection_dim": 64}  # fmt: skip
    unet = {**XL, "block_out_channels": [64, 64], "down_block_types": XL["down_block_types"][:2],
            "up_block_types": XL["up_block_types"][1:], "attention_head_dim": [1, 1], "layers_per_block": 1,
            "cross_attention_dim": 128, "transformer_layers_per_block": [1, 1],
            "projection_class_embeddings_input_dim": 64 + 6 * 256}  # fmt: skip
    xl = KINDS["sdxl"]
    kind: Kind = replace(xl, unet=unet, encoders=dict(zip(xl.encoders, (first, second), strict=True)))
    rng = np.random.default_rng(0)
    parts = {"unet": shapes_of("unet", unet), "vae": shapes_of("vae", VAE)}
    parts |= {prefix: shapes_of("text_encoder", config) for prefix, config in kind.encoders.items()}
    arrays = {
        part: {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
        for part, shapes in parts.items()
    }
    return {name: tensor.of(arrays[tensor.part]) for name, tensor in stored(kind, VAE).items()}


def test_every_tensor_is_the_files(small: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", small)
    file = open_model(tmp_path / "model.safetensors")
    write_folder(file, tmp_path / "folder")
    folder = open_model(tmp_path / "folder")
    for name, component in file.components.items():
        weights = folder.components[name].weights
        assert weights.dtypes == ("F16",)
        for parameter in component.graph(Variant()).parameters:
            ours = weights.find(parameter.name)
            assert ours is not None and ours.shape == parameter.shape
            wanted = component.weights.find(parameter.name, parameter.shape)
            assert wanted is not None
            np.testing.assert_array_equal(weights.read(ours), component.weights.read(wanted))
    stems = {path.name for path in (tmp_path / "folder").rglob("*.safetensors")}
    assert stems == {"model.safetensors", "diffusion_pytorch_model.safetensors"}
    assert {CHECKPOINT_FOLDERS.get(name, name) for name in file.components} == {
        path.parent.name for path in (tmp_path / "folder").rglob("*.safetensors")
    }
