"""A model in one file as a diffusers folder: it means the same, whoever opens it."""

from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS
from single_files import write_kind, write_small_xl

import latentrt
from latentrt.models.bundle import open_model
from latentrt.models.layout import CHECKPOINT_FOLDERS
from latentrt.models.model import Model
from latentrt.networks import Variant
from latentrt.text.folder_writer import write_descriptions, write_folder
from latentrt.text.tokenizer import clip_tokenizer, load_tokenizer

PROMPT = "A photograph of an astronaut, riding 2 horses! (été)"


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


def test_every_tensor_is_the_files(tmp_path: Path) -> None:
    file = open_model(write_small_xl(tmp_path / "model.safetensors"))
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
