"""Files of a model that say what cannot be: one clear error each, which names the file, and no traceback."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from latentrt.cli import main
from latentrt.engine import verify
from latentrt.engine.networks import Networks, place
from latentrt.errors import ModelError
from latentrt.files import contained
from latentrt.models.bundle import open_model
from latentrt.models.manifest import COMPONENTS, MANIFEST_NAME, hash_file, read_manifest
from latentrt.models.model import Model
from latentrt.models.safetensors import write_safetensors
from latentrt.networks import Variant, build
from latentrt.painting.autoencoder import Autoencoder
from latentrt.text.tokenizer import load_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The demo without its weights, which nothing here reads."""
    root = tmp_path / "model"
    shutil.copytree(open_model("demo").root, root, ignore=shutil.ignore_patterns("*.safetensors"))
    return root


def change(path: Path, **values: Any) -> None:
    """Set values of a JSON file; `...` removes one."""
    data = json.loads(path.read_text()) if path.exists() else {}
    data |= values
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))


@pytest.mark.parametrize(
    ("component", "key", "value", "read"),
    [
        ("unet", "sample_size", "16", "default_size"),
        ("unet", "sample_size", [16, 16, 16], "default_size"),
        ("unet", "sample_size", [16, None], "default_size"),
        ("unet", "sample_size", 10**400, "default_size"),
        ("unet", "in_channels", 4.0, "unet_channels"),
        ("unet", "in_channels", True, "unet_channels"),
        ("vae", "block_out_channels", 64, "vae_scale_factor"),
        ("vae", "block_out_channels", [], "vae_scale_factor"),
        ("vae", "block_out_channels", [1] * 99, "vae_scale_factor"),
        ("vae", "latent_channels", 0, "latent_channels"),
        ("text_encoder", "num_hidden_layers", -1, "text_layers"),
    ],
)
def test_a_config_that_says_what_cannot_be(
    folder: Path, component: str, key: str, value: Any, read: str
) -> None:
    change(folder / component / "config.json", **{key: value})
    model = open_model(folder)
    with pytest.raises(ModelError, match=rf"{component}/config\.json: {key} is .*; expected "):
        getattr(model, read)


@pytest.mark.parametrize("value", [None, ...])
def test_what_a_config_leaves_out_is_its_classs_default(folder: Path, value: Any) -> None:
    change(folder / "unet" / "config.json", in_channels=value, sample_size=value)
    vae = {"latent_channels": value, "scaling_factor": value, "shift_factor": value}
    change(folder / "vae" / "config.json", **vae, block_out_channels=value)
    change(folder / "text_encoder" / "config.json", num_hidden_layers=value, max_position_embeddings=value)
    model = open_model(folder)
    assert (model.unet_channels, model.latent_channels, model.vae_scale_factor) == (4, 4, 1)
    assert model.text_layers == 12
    assert autoencoder(model).scaling_factor == 0.18215
    assert autoencoder(model).shift_factor == 0
    assert model.default_size == (64, 64)  # 64 latents, and a factor of 1


def autoencoder(model: Model) -> Autoencoder:
    return Autoencoder(Networks(model, place("cpu")))


@pytest.mark.parametrize("value", [0, 0.0, "1", float("nan"), float("inf"), True, 10**400])
def test_a_scaling_factor_that_cannot_be(folder: Path, value: Any) -> None:
    change(folder / "vae" / "config.json", scaling_factor=value)
    with pytest.raises(ModelError, match=r"vae/config\.json: scaling_factor is .*; expected a"):
        autoencoder(open_model(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width", "x"),
        ("height", 0),
        ("num_inference_steps", 2.5),
        ("guidance_scale", "7"),
        ("guidance_scale", float("nan")),
        ("sampler", 5),
    ],
)
def test_advice_that_cannot_be(folder: Path, key: str, value: Any) -> None:
    change(folder / "generation_config.json", **{key: value})
    with pytest.raises(ModelError, match=rf"generation_config\.json: {key} is .*; expected "):
        open_model(folder)


def test_advice_that_is_null_or_of_other_things_is_none(folder: Path) -> None:
    advice = {"guidance_scale": None, "width": None, "sampler": "ddim", "top_k": [1]}
    (folder / "generation_config.json").write_text(json.dumps(advice))
    assert open_model(folder).defaults == {"sampler": "ddim"}
    (folder / "generation_config.json").unlink()
    assert open_model(folder).defaults == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model_index.json", "[]"),
        ("unet/config.json", "{"),
        ("vae/config.json", "[" * 100_000),
        ("scheduler/scheduler_config.json", b"\xff"),
        ("generation_config.json", "7" * 5000),
    ],
)
def test_json_that_is_none(folder: Path, name: str, text: str | bytes) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        open_model(folder)


@pytest.mark.parametrize(
    "name",
    ["model_index.json", "unet/config.json", "vae/config.json", "scheduler/scheduler_config.json", MANIFEST_NAME,
     "generation_config.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
     "tokenizer/special_tokens_map.json", "unet/diffusion_pytorch_model.safetensors"],
)  # fmt: skip
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_every_file_comes_in_by_the_door(folder: Path, name: str) -> None:
    def read() -> None:
        model = open_model(folder)
        load_tokenizer(folder / "tokenizer")
        assert model.components["unet"].weights

    path = folder / name
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=rf"{re.escape(name)}: is a device; expected a file"):
        read()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ModelError, match=rf"{re.escape(name)}: is a pipe; expected a file"):
        read()
    path.unlink()
    path.symlink_to("gone")
    with pytest.raises(ModelError, match=rf"{re.escape(name)}: is a link to gone, which is not there"):
        read()
    path.unlink()
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match=rf"{re.escape(name)}: is a Git LFS pointer"):
        read()


@pytest.mark.parametrize("pipeline", ["StableDiffusion3Pipeline", "FluxPipeline", None])
def test_other_kinds_are_said_to_be_unsupported(folder: Path, pipeline: str | None) -> None:
    if pipeline is None:
        (folder / "transformer").mkdir()
    else:
        change(folder / "model_index.json", _class_name=pipeline)
    with pytest.raises(ModelError, match="not supported yet") as caught:
        open_model(folder)
    assert "export" not in str(caught.value)
    assert str(pipeline or "transformer") in str(caught.value)


def test_the_file_of_a_setting_without_a_graph_is_named(folder: Path) -> None:
    change(folder / "unet" / "config.json", encoder_hid_dim=256)
    with pytest.raises(ModelError, match=r"model/unet/config\.json: encoder_hid_dim is 256; expected None"):
        open_model(folder).components["unet"].graph(Variant())
    (folder / "unet" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"has no unet/config\.json; .* download the missing files"):
        open_model(folder)


def unet(**values: Any) -> bytes:
    component = open_model("demo").components["unet"]
    return build("unet", {**component.config, **values}).serialize()


@pytest.mark.parametrize(
    "values",
    [
        {"mid_block_only_cross_attention": False},
        {"cross_attention_dim": [128] * 3},
        {"only_cross_attention": [False] * 3},
        {"only_cross_attention": [False] * 3, "mid_block_only_cross_attention": False},
        {"act_fn": "swish", "mid_block_scale_factor": 1.0, "dropout": 0.1},
        {"addition_time_embed_dim": 256, "gradient_checkpointing": True},
        {"a_key_of_the_future": None, "another": False, "a_list": []},
    ],
)
def test_settings_that_say_the_same_give_the_same_graph(values: dict[str, Any]) -> None:
    assert unet(**values) == unet()


@pytest.mark.parametrize(
    "values",
    [
        {"num_attention_heads": 4},
        {"only_cross_attention": "yes"},
        {"only_cross_attention": [False, True]},
        {"transformer_layers_per_block": [[1], [1], [1, 1]]},
        {"addition_embed_type": "image"},
        {"cross_attention_dim": [128, 128, 64]},
        {"cross_attention_dim": [128] * 2},
        {"resnet_out_scale_factor": 2.0},
        {"a_key_of_the_future": "rotary"},
        {"_class_name": "UNet3DConditionModel"},
        {"use_linear_projection": "no"},
        {"norm_eps": "x"},
        {"block_out_channels": 5},
    ],
)
def test_settings_that_are_not_known_here_are_named(values: dict[str, Any]) -> None:
    named, value = next(iter(values.items()))
    with pytest.raises(ModelError, match=re.escape(f"unet: config.json: {named} is {value!r}; expected ")):
        unet(**values)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A bundle in miniature: every file is listed, no graph can be loaded."""
    root = tmp_path / "bundle"
    components = {}
    for name in ("text_encoder", *COMPONENTS):
        (root / name).mkdir(parents=True)
        write_safetensors(root / name / "v.safetensors", {"input.x": np.ones(1, np.float32)})
        for file in ("config.json", "w.safetensors", "a.onnx", "b.onnx"):
            (root / name / file).write_text("{}")
        graphs = {
            compute: {"file": f"{name}/{file}.onnx", "inputs": [], "outputs": []}
            for compute, file in (("fp16", "a"), ("fp32", "b"))
        }
        files = {"config": "config.json", "weights": "w.safetensors", "vectors": "v.safetensors"}
        entry: dict[str, Any] = {key: f"{name}/{file}" for key, file in files.items()}
        components[name] = {**entry, "graphs": graphs, "parity": {}, "fp32_only": False}
    hashes = {
        path.relative_to(root).as_posix(): vars(hash_file(path)) for path in root.rglob("*") if path.is_file()
    }
    (root / "model_index.json").write_text("{}")
    hashes["model_index.json"] = vars(hash_file(root / "model_index.json"))
    change(
        root / MANIFEST_NAME, format_version=1, source="x", versions={}, components=components, files=hashes
    )
    return root


@pytest.mark.parametrize("keep", [0, 3])
def test_a_manifest_lists_all_components(made: Path, keep: int) -> None:
    read_manifest(made)
    components = json.loads((made / MANIFEST_NAME).read_text())["components"]
    change(made / MANIFEST_NAME, components=dict(list(components.items())[:keep]))
    for read in (open_model, verify.verify_bundle):
        with pytest.raises(
            ModelError, match=r"latentrt\.json: has the components .*; expected unet, vae_encoder, "
        ):
            read(made)


def test_vectors_without_outputs_are_a_problem(made: Path) -> None:
    report = verify.verify_bundle(made)
    assert not report.ok
    assert len(report.replays) == 8
    assert all("v.safetensors: holds no outputs" in str(replay.problem) for replay in report.replays)


def test_expected_nan_is_not_met() -> None:
    values = np.array([1.0, np.nan], np.float32)
    assert verify.errors(np.ones(2, np.float32), values) == (float("inf"), float("inf"))


def test_a_bundle_may_be_links_into_a_hubs_cache(made: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    weights = made / "unet" / "w.safetensors"
    weights.rename(tmp_path / "blobs" / "x")
    weights.symlink_to("../../blobs/x")
    assert contained(made, "unet/w.safetensors") == weights
    assert verify.verify_bundle(made).changed == ()


def test_ctrl_c_reaches_a_replay(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ort.RunOptions] = []

    def interrupted(work: Any, cancel: Any) -> Any:
        cancel()
        return work()

    def run(session: Any, inputs: Any, options: ort.RunOptions) -> Any:
        asked.append(options)
        raise KeyboardInterrupt

    vectors = made / "unet" / "v.safetensors"
    monkeypatch.setattr(verify, "interruptible", interrupted)
    monkeypatch.setattr(verify, "plain_session", lambda path: None)
    monkeypatch.setattr(verify, "run_plain", run)
    write_safetensors(vectors, {"output.x": np.ones(1, np.float32)})
    files = json.loads((made / MANIFEST_NAME).read_text())["files"]
    change(made / MANIFEST_NAME, files={**files, "unet/v.safetensors": vars(hash_file(vectors))})
    with pytest.raises(KeyboardInterrupt):
        verify.verify_bundle(made)
    assert [options.terminate for options in asked] == [True]


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ([1, 4, 2**13, 2**13], "F16", "of pictures of 65536x65536; expected at most 67,108,864 pixels"),
        ([1, 4, 2, 2], "I16", "expected floats (b, c, h, w), got I16"),
        ([1, 4, 0, 2], "F16", "expected floats (b, c, h, w), got F16"),
    ],
)
def test_decode_looks_before_it_reads(
    tmp_path: Path,
    shape: list[int],
    dtype: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(*arguments: Any) -> None:
        raise AssertionError("a tensor was read")

    size = int(np.prod(shape)) * 2
    text = json.dumps({"latents": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    path = tmp_path / "l.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)  # sparse
    monkeypatch.setattr("latentrt.models.weights.Weights.read", read)
    assert main(["decode", str(path), "--out", str(tmp_path / "a.png")]) == 2
    assert reason in capsys.readouterr().err
