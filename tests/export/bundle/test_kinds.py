"""Bundles of SDXL's kind, of its refiner, of latent consistency models, of files: proven, verified, and run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoints import make_unet, make_vae, make_xl, save_pipeline, save_published
from tiny_files import make_pipeline, write
from tiny_files import tensors_of as tensors_of_file

import latentrt
from latentrt.engine.verify import verify_bundle
from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.manifest import COMPONENTS, RELATIVE_BOUNDS, Manifest, read_manifest
from latentrt.models.replacing import make_replacements
from latentrt.models.single_file_writer import write_single_file
from latentrt_export.bundle.export import export_model
from latentrt_export.bundle.source import tensors_of
from latentrt_export.proof import parity
from latentrt_export.proof.parity import told_sizes, trials

SETTINGS = {"seed": 1, "num_inference_steps": 2, "width": 24, "height": 16}
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def proven(manifest: Manifest, *encoders: str) -> None:
    assert manifest.components.keys() == {*encoders, *COMPONENTS}
    for component in manifest.components.values():
        for compute in ("fp32", "fp16"):
            assert 0 < component.parity[compute].relative < RELATIVE_BOUNDS[compute]


def painted(model: Path, **settings: object) -> np.ndarray:
    with latentrt.load(model, device="cpu") as pipeline:
        return pipeline.start_txt2img("ab c", **{**SETTINGS, **settings}).latents()


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    """A folder, the bundle of it in float32, and what the export said."""
    root = tmp_path_factory.mktemp("sdxl")
    make_xl().save_pretrained(root / "model")
    (root / "model" / "tokenizer" / "notes.txt").symlink_to("/etc/hostname")
    (root / "model" / "tokenizer_2" / "more").mkdir()
    return root / "model", root / "bundle", export_model(root / "model", root / "bundle", dtype="fp32")


def test_sdxl_is_held_to_torch(sdxl):
    _, bundle, manifest = sdxl
    proven(manifest, "text_encoder", "text_encoder_2")
    ports = {value.name: value.shape for value in manifest.components["unet"].graphs["fp32"].inputs}
    assert ports["text_embeds"] == ("batch", "text_width") and ports["time_ids"] == ("batch", "time_ids")
    # diffusers takes the first output for the projected text.
    outputs = [value.name for value in manifest.components["text_encoder_2"].graphs["fp16"].outputs]
    assert outputs[:2] == ["text_embeds", "last_hidden_state"]
    report = verify_bundle(bundle)
    assert report.ok and len(report.replays) == 2 * len(manifest.components)


def test_sdxl_paints_the_folders_picture(sdxl):
    folder, bundle, _ = sdxl
    for settings in ({}, {"negative_prompt": "b", "prompt_2": "c a", "guidance_scale": 3.0}):
        np.testing.assert_array_equal(painted(bundle, **settings), painted(folder, **settings))


def test_the_autoencoder_of_sdxl_is_computed_in_fp32(sdxl):
    """Its config says so, whatever random weights do; what its fp16 graph computes is measured all the same."""
    _, bundle, manifest = sdxl
    halves = {"vae_encoder", "vae_decoder"}
    assert {name for name, component in manifest.components.items() if component.fp32_only} == halves
    assert {
        name for name, component in open_model(bundle).components.items() if component.fp32_only
    } == halves


def test_nothing_is_copied_but_what_is_known_by_name(sdxl):
    _, bundle, manifest = sdxl
    known = {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"}
    assert manifest.files.keys() > known
    assert not any("notes" in name or "more" in name for name in manifest.files)
    assert not (bundle / "tokenizer" / "notes.txt").exists()


def test_a_bundle_that_lacks_an_encoder_of_its_index_is_named(sdxl, tmp_path):
    copy = shutil.copytree(sdxl[1], tmp_path / "copy")
    manifest = json.loads((copy / "latentrt.json").read_text())
    del manifest["components"]["text_encoder"]
    (copy / "latentrt.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ModelError, match=r"has the components text_encoder_2, unet, .* say text_encoder, text_enc"
    ):
        open_model(copy)
    del manifest["components"]["text_encoder_2"]
    (copy / "latentrt.json").write_text(json.dumps(manifest))
    with pytest.raises(
        ModelError, match=r"expected unet, .* and one or both of text_encoder, text_encoder_2"
    ):
        read_manifest(copy)


@pytest.mark.slow
def test_an_upscaler_is_held_to_torch_and_keeps_the_small_picture_s_noise(tmp_path):
    pipeline = make_pipeline("x4")
    pipeline.save_pretrained(tmp_path / "folder")
    write(tmp_path / "file.safetensors", tensors_of_file("x4", pipeline))
    latents = []
    for name in ("folder", "file.safetensors"):
        manifest = export_model(tmp_path / name, tmp_path / f"{name}-bundle", dtype="fp32")
        proven(manifest, "text_encoder")
        assert "class_labels" in {value.name for value in manifest.components["unet"].graphs["fp32"].inputs}
        assert manifest.components["vae_decoder"].fp32_only
        assert verify_bundle(tmp_path / f"{name}-bundle").ok
        for model in (name, f"{name}-bundle"):
            with latentrt.load(tmp_path / model, device="cpu") as opened:
                latents.append(
                    opened.upscale("a", PICTURE, seed=1, num_inference_steps=2, noise_level=90).latents
                )
    for one in latents[1:]:
        np.testing.assert_array_equal(one, latents[0])


@pytest.mark.slow
def test_a_depth_model_is_held_to_torch(tmp_path):
    make_pipeline("depth").save_pretrained(tmp_path / "model")
    manifest = export_model(tmp_path / "model", tmp_path / "bundle", dtype="fp32")
    proven(manifest, "text_encoder")
    latents = []
    for model in ("model", "bundle"):
        with latentrt.load(tmp_path / model, device="cpu") as opened:
            settings = {"seed": 1, "num_inference_steps": 4, "strength": 0.5}
            latents.append(opened.img2img("a", PICTURE, depth=PICTURE[:, :, 0], **settings).latents)
    np.testing.assert_array_equal(*latents)


@pytest.mark.slow
def test_a_latent_consistency_model_is_held_to_torch(tmp_path):
    save_pipeline(tmp_path / "model", unet=make_unet(time_cond_proj_dim=20))
    manifest = export_model(tmp_path / "model", tmp_path / "bundle", dtype="fp32")
    proven(manifest, "text_encoder")
    assert "timestep_cond" in {value.name for value in manifest.components["unet"].graphs["fp32"].inputs}
    np.testing.assert_array_equal(painted(tmp_path / "bundle"), painted(tmp_path / "model"))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A refiner in one file."""
    root = tmp_path_factory.mktemp("file")
    save_published(root / "model", refiner=True)
    return write_single_file(open_model(root / "model"), root / "refiner.safetensors")


def test_a_file_is_exported_as_a_folder_is(file, tmp_path):
    """Its configs, tokenizer and scheduler are written; what is painted is the same to the bit."""
    manifest = export_model(file, tmp_path / "bundle", dtype="fp32")
    proven(manifest, "text_encoder_2")
    assert verify_bundle(tmp_path / "bundle").ok
    latents = []
    for model in (file, tmp_path / "bundle"):
        with latentrt.load(model, device="cpu") as pipeline:
            asked = {**SETTINGS, "strength": 0.5, "guidance_scale": 3.0, "negative_prompt": ""}
            latents.append(pipeline.start_img2img("A cat, red!", PICTURE, **asked).latents())
    np.testing.assert_array_equal(*latents)
    index = json.loads((tmp_path / "bundle" / "model_index.json").read_text())
    assert index["text_encoder"] == [None, None] and index["requires_aesthetics_score"] is True


@pytest.mark.slow
def test_what_is_given_in_place_of_a_models_own_is_exported(sdxl, tmp_path):
    """An autoencoder and a prediction type: the bundle paints what the model does with them."""
    make_vae(7, scaling_factor=0.2, force_upcast=False).save_pretrained(tmp_path / "vae")
    given = {"vae": tmp_path / "vae", "prediction_type": "v_prediction"}
    export_model(sdxl[0], tmp_path / "bundle", dtype="fp32", given=make_replacements(**given))
    assert open_model(tmp_path / "bundle").components["vae_decoder"].config["scaling_factor"] == 0.2
    with latentrt.load(sdxl[0], device="cpu", **given) as pipeline:
        wanted = pipeline.txt2img("ab c", **SETTINGS)
    with latentrt.load(tmp_path / "bundle", device="cpu") as pipeline:
        got = pipeline.txt2img("ab c", **SETTINGS)
    np.testing.assert_array_equal(got.latents, wanted.latents)
    assert got.images[0].tobytes() == wanted.images[0].tobytes()


def test_an_encoder_with_the_wrong_class_is_refused(sdxl, tmp_path):
    """CLIPTextModel in place of the projecting one: the projection would be missing."""
    model = Path(shutil.copytree(sdxl[0], tmp_path / "model", ignore=shutil.ignore_patterns("notes.txt")))
    index = json.loads((model / "model_index.json").read_text())
    index["text_encoder_2"][1] = "T5EncoderModel"
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="says it is a T5EncoderModel"):
        export_model(model, tmp_path / "bundle")


def test_torch_is_told_all_that_the_graph_is(sdxl, monkeypatch):
    """A UNet that passed over its sizes would not agree with torch."""
    model = open_model(sdxl[0])
    sizes = told_sizes(model)
    assert sizes == {"text_width": 40, "time_ids": 6}
    right = trials(model.components["unet"], sizes)
    assert [case["time_ids"].shape for case in right] == [(1, 6), (2, 6)] * 2
    run = parity.run_plain

    def forgetful(session, case):
        return run(session, {**case, "time_ids": 0 * case["time_ids"]})

    monkeypatch.setattr(parity, "run_plain", forgetful)
    with pytest.raises(parity.ParityError, match="differs from torch"):
        parity.prove(sdxl[1] / "unet", model.components["unet"], tensors_of(model.components["unet"]), sizes)
