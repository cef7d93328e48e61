"""`latentrt export`: the bundle, what proves it, and everything that can be wrong with the checkpoint or the folder."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from checkpoints import make_text_encoder, make_unet, make_vae, save_pipeline
from safetensors.torch import load_file, save_file

import latentrt
from latentrt.claim import sweep
from latentrt.cli import main
from latentrt.engine.verify import verify_bundle
from latentrt.errors import InputError, LatentrtError, ModelError, SettingError, WeightsError
from latentrt.models.component import Component
from latentrt.models.manifest import RELATIVE_BOUNDS, read_manifest
from latentrt_export.bundle import writer
from latentrt_export.bundle.export import export_model
from latentrt_export.bundle.source import open_source, tensors_of
from latentrt_export.proof import parity
from latentrt_export.proof.parity import ParityError

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    save_pipeline(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    export_model(checkpoint, folder)
    return folder


@pytest.fixture
def damaged(checkpoint, tmp_path):
    """A copy of the checkpoint to be broken."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.fixture
def copied(bundle, tmp_path):
    """A copy of the bundle to be broken."""
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@pytest.fixture
def unproven(monkeypatch):
    """Export without the proof, which these tests are not about."""
    exact = parity.Parity(0.0, 0.0)
    rounding = parity.Rounding(("F32",), "F16", exact, exact)
    proof = parity.Proof(dict.fromkeys(RELATIVE_BOUNDS, exact), False, "float32", rounding)

    def prove(folder, component, tensors, sizes, progress):
        (folder / parity.VECTORS_FILE).write_bytes(b"")
        return proof

    monkeypatch.setattr("latentrt_export.bundle.export.prove", prove)


def rewrite(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def rewrite_config(folder, changes):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def left(folder):
    """What stands in a folder besides the checkpoint, hidden files too."""
    return sorted(path.name for path in folder.iterdir() if path.name != "model")


# ---- the bundle


def test_plain_onnxruntime_loads_the_bundle_and_agrees_with_torch(bundle):
    """No code of ours: the file name, onnxruntime's defaults, and the modules as they were saved."""
    rng = np.random.default_rng(0)
    unet, vae, text = make_unet(), make_vae(), make_text_encoder()
    sample = rng.standard_normal((2, 4, 10, 8)).astype(np.float32)
    context = rng.standard_normal((2, 9, 32)).astype(np.float32)
    pixels = rng.uniform(-1, 1, (2, 3, 40, 32)).astype(np.float32)
    ids = rng.integers(0, 9, (2, 6))
    with torch.inference_mode():
        wanted = {
            "text_encoder": text(torch.tensor(ids)).last_hidden_state,
            "unet": unet(torch.tensor(sample), torch.tensor(500.5), torch.tensor(context)).sample,
            "vae_encoder": vae.encode(torch.tensor(pixels)).latent_dist.parameters,
            "vae_decoder": vae.decode(torch.tensor(sample)).sample,
        }
    inputs = {
        "text_encoder": {"input_ids": ids},
        "unet": {
            "sample": sample,
            "timestep": np.asarray(500.5, np.float32),
            "encoder_hidden_states": context,
        },
        "vae_encoder": {"sample": pixels},
        "vae_decoder": {"latent_sample": sample},
    }
    for component, feeds in inputs.items():
        for file, dtype, bound in (("model.onnx", np.float16, 6e-3), ("model.fp32.onnx", np.float32, 2e-3)):
            path = bundle / component / file
            onnx.checker.check_model(str(path), full_check=True)
            graph = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            cast = {
                name: value.astype(dtype) if value.dtype == np.float32 and name != "timestep" else value
                for name, value in feeds.items()
            }
            got = graph.run(None, cast)[0]
            error = np.linalg.norm(got - wanted[component].numpy()) / np.linalg.norm(
                wanted[component].numpy()
            )
            # Against the fp32 weights before they were rounded: 2e-3 is what float16 leaves of them.
            assert error < bound, (component, file)


def test_weights_are_the_checkpoints_rounded_once(checkpoint, bundle):
    before = load_file(checkpoint / UNET_FILE)
    after = load_file(bundle / "unet" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor.half()), name
    vae = load_file(checkpoint / VAE_FILE)
    halves = [load_file(bundle / f"vae_{half}" / "model.safetensors") for half in ("encoder", "decoder")]
    assert vae.keys() == halves[0].keys() | halves[1].keys()
    text = load_file(bundle / "text_encoder" / "model.safetensors")
    assert all(name.startswith("text_model.") for name in text)


def test_tensors_whose_size_allows_it_lie_on_cache_lines(bundle):
    for component in ("text_encoder", "unet", "vae_encoder", "vae_decoder"):
        model = onnx.load(bundle / component / "model.onnx", load_external_data=False)
        places = []
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                entry = {item.key: item.value for item in tensor.external_data}
                assert entry["location"] == "model.safetensors"
                places.append((int(entry["offset"]), int(entry["length"])))
        aligned = [offset for offset, length in places if length % 64 == 0]
        assert aligned and all(offset % 64 == 0 for offset in aligned)


def test_manifest_says_what_there_is(checkpoint, bundle):
    manifest = read_manifest(bundle)
    on_disk = {p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()}
    assert set(manifest.files) | {"latentrt.json"} == on_disk
    assert {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json"} <= on_disk
    assert manifest.source == "model"
    assert set(manifest.versions) >= {"torch", "diffusers", "transformers", "onnxruntime"}
    unet = manifest.components["unet"]
    assert [(v.name, v.dtype, v.shape) for v in unet.graphs["fp16"].inputs] == [
        ("sample", "float16", ("batch", 4, "height", "width")),
        ("timestep", "float32", ()),
        ("encoder_hidden_states", "float16", ("batch", "sequence", 32)),
    ]
    assert unet.graphs["fp32"].outputs[0].dtype == "float32"
    for component in manifest.components.values():
        assert not component.fp32_only
        # Measured here: 6e-7 to 1.3e-6, and 2e-4 to 7e-4.
        assert 0 < component.parity["fp32"].relative < 1e-5
        assert 1e-5 < component.parity["fp16"].relative < 5e-3
    assert (bundle / "unet" / "config.json").read_bytes() == (
        checkpoint / "unet" / "config.json"
    ).read_bytes()
    assert (bundle.stat().st_mode & 0o777) == (bundle / "unet").stat().st_mode & 0o777


# ---- other ways of storing the same model


def old_names(tensors):
    pairs = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for name in [name for name in tensors if "attentions" in name]:
        new = name
        for ours, theirs in pairs.items():
            new = new.replace(f".{ours}.", f".{theirs}.")
        value = tensors.pop(name)
        is_projection = new != name and value.ndim == 2
        tensors[new] = value[:, :, None, None].contiguous() if is_projection else value


STORED = {
    "fp16 variant": (torch.float16, {"variant": "fp16"}),
    "bf16": (torch.bfloat16, {}),
    "shards": (torch.float32, {"max_shard_size": "1MB"}),
    "pickle": (torch.float32, {"safe_serialization": False}),
    "old names": (torch.float32, {}),
}


@pytest.mark.parametrize("how", STORED)
def test_every_way_of_storing_weights(how, tmp_path, unproven):
    dtype, options = STORED[how]
    pipeline = save_pipeline(tmp_path / "model", dtype, **options)
    if how == "old names":
        rewrite(tmp_path / "model" / VAE_FILE, old_names)
        # and with the prefix that transformers 4 gave them
        file = tmp_path / "model" / "text_encoder" / "model.safetensors"
        text = {f"text_model.{name}": value for name, value in load_file(file).items()}
        text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        save_file(text, file)
    if how == "shards":
        assert len(list((tmp_path / "model" / "unet").glob("*.safetensors"))) > 1
    if how == "pickle":
        text_bin = tmp_path / "model" / "text_encoder" / "pytorch_model.bin"
        (tmp_path / "model" / "text_encoder" / "model.safetensors").unlink(missing_ok=True)
        torch.save({f"text_model.{k}": v for k, v in pipeline.text_encoder.state_dict().items()}, text_bin)
        vae = dict(pipeline.vae.state_dict())
        old_names(vae)
        torch.save(vae, (tmp_path / "model" / VAE_FILE).with_suffix(".bin"))
    export_model(tmp_path / "model", tmp_path / "out")
    got = {}
    for component in ("text_encoder", "unet", "vae_encoder", "vae_decoder"):
        got |= load_file(tmp_path / "out" / component / "model.safetensors")
    wanted = dict(pipeline.unet.named_parameters()) | dict(pipeline.vae.named_parameters())
    wanted |= {f"text_model.{name}": value for name, value in pipeline.text_encoder.named_parameters()}
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(got[name], value.detach().half()), name


# ---- what is copied


@pytest.fixture
def made_public(damaged, tmp_path, unproven):
    """Exports the checkpoint; gives the bundle's files beside its networks."""

    def export(model=damaged):
        export_model(model, tmp_path / "out", overwrite=True)
        names = (
            path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()
        )
        return sorted(str(name) for name in names if name.parts[0] not in ("text_encoder", "unet", *HALVES))

    return export


HALVES = ("vae_encoder", "vae_decoder")


def test_only_what_is_known_by_name_is_copied(damaged, tmp_path, made_public):
    before = made_public()
    (tmp_path / "private").write_text("a secret")
    for folder in ("tokenizer", "scheduler", "unet", "."):
        (damaged / folder / "notes.txt").symlink_to(tmp_path / "private")
        (damaged / folder / "more.json").write_text("{}")
    os.mkfifo(damaged / "tokenizer" / "pipe")
    assert made_public() == before
    assert {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"} <= set(
        before
    )


@pytest.mark.parametrize(
    "name", ["tokenizer/special_tokens_map.json", "generation_config.json", "unet/config.json"]
)
def test_a_link_out_of_the_folder_is_not_copied(damaged, tmp_path, made_public, name):
    (tmp_path / "private").write_text((damaged / name).read_text() if (damaged / name).exists() else "{}")
    (damaged / name).unlink(missing_ok=True)
    (damaged / name).symlink_to(tmp_path / "private")
    with pytest.raises(ModelError, match=f"{name}: is a link to {tmp_path}/private, which lies outside"):
        made_public()
    assert left(tmp_path) == ["private"]
    (damaged / name).unlink()
    os.mkfifo(damaged / name)
    with pytest.raises(ModelError, match=f"{name}: is a pipe; expected a file"):
        made_public()
    assert left(tmp_path) == ["private"]


def test_a_snapshot_of_the_hubs_cache_is_copied_through_its_links(damaged, tmp_path, made_public):
    before = made_public()
    repo = tmp_path / "models--some-org--a.model"
    (repo / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in damaged.rglob("*") if path.is_file())):
        link = repo / "snapshots" / ("a" * 40) / path.relative_to(damaged)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, repo / "blobs" / str(number))
        link.symlink_to(repo / "blobs" / str(number))
    assert made_public(repo) == before
    assert read_manifest(tmp_path / "out").source == "some-org/a.model"
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]


# ---- the proof


def test_a_graph_that_differs_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    """An attention scaled by half as much again moves the result by 4e-2, in both graphs."""
    model = shutil.copytree(checkpoint, tmp_path / "model")
    right = Component.graph

    def wrong(component, variant):
        graph = right(component, variant)
        if component.name == "unet":
            dtype = np.float16 if variant.compute == "fp16" else np.float32
            for scale in graph.proto.graph.initializer:
                if scale.name in ("float(0.25)", "float(0.3535533905932738)"):
                    scale.raw_data = (np.frombuffer(scale.raw_data, dtype) * dtype(1.5)).tobytes()
        return graph

    monkeypatch.setattr(Component, "graph", wrong)
    with pytest.raises(
        ParityError, match=r"unet: the fp(16|32) graph differs from torch in float64 by .* allowed"
    ):
        export_model(model, tmp_path / "out")
    assert left(tmp_path) == []


def test_small_mistakes_exceed_the_fp32_bound(checkpoint, tmp_path):
    """GELU by its tanh formula moves the result by 5e-5; rounding leaves 1e-6."""
    unet = open_source(checkpoint).components["unet"]
    writer.write_component(tmp_path, unet)
    path = tmp_path / "model.fp32.onnx"
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "Gelu":
            node.attribute.append(onnx.helper.make_attribute("approximate", "tanh"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ParityError, match=r"unet: the fp32 graph differs from torch in float64 by [345]\.\de-05"
    ):
        parity.prove(tmp_path, unet, tensors_of(unet))


@pytest.mark.parametrize(
    ("unet", "changes"),
    [
        ({"cross_attention_dim": 32}, {"unet": {"cross_attention_dim": [32] * 3}, "vae": {"scaling_factor": None}}),
        ({"cross_attention_dim": 1280}, {
            "unet": {"cross_attention_dim": ..., "in_channels": ...},
            "vae": {"block_out_channels": ..., "latent_channels": ...},
            "text_encoder": {"max_position_embeddings": None},
        }),
    ],
)  # fmt: skip
def test_configs_that_list_sizes_or_leave_them_out(tmp_path, unet, changes):
    """Of those that are left out (...) or null, the class's default holds: the weights are of that size."""
    save_pipeline(tmp_path / "model", unet=make_unet(**unet))
    one_level = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    make_vae(block_out_channels=(64,), **one_level).save_pretrained(tmp_path / "model" / "vae")
    for name, change in changes.items():
        rewrite_config(tmp_path / "model" / name, change)
    manifest = export_model(tmp_path / "model", tmp_path / "out")
    assert all(component.parity["fp32"].relative < 1e-5 for component in manifest.components.values())


def test_a_setting_without_a_graph_names_the_checkpoints_file(damaged, tmp_path):
    rewrite_config(damaged / "unet", {"act_fn": "gelu"})
    path = re.escape(str(damaged / "unet" / "config.json"))
    with pytest.raises(ModelError, match=rf"^{path}: act_fn is 'gelu'"):
        export_model(damaged, tmp_path / "out")
    assert left(tmp_path) == []


def test_the_bounds_are_what_fails(checkpoint, tmp_path, monkeypatch):
    model = shutil.copytree(checkpoint, tmp_path / "model")
    monkeypatch.setattr(parity, "RELATIVE_BOUNDS", {"fp32": 1e-4, "fp16": 1e-9})
    with pytest.raises(ParityError, match=r"text_encoder: the fp16 graph .* more than the 1e-09 allowed"):
        export_model(model, tmp_path / "out")
    assert left(tmp_path) == []


def test_overflow_in_fp16_is_found_and_recorded(damaged, tmp_path):
    """Activations of 1e6 that the next norm takes back: nothing to float32, infinite to float16."""

    def change(tensors):
        tensors["decoder.conv_in.weight"] *= 3e4
        tensors["decoder.conv_in.bias"] *= 3e4

    rewrite(damaged / VAE_FILE, change)
    manifest = export_model(damaged, tmp_path / "out")
    decoder = manifest.components["vae_decoder"]
    assert decoder.fp32_only
    assert decoder.parity["fp16"] == parity.Parity(None, None)
    assert decoder.parity["fp32"].relative < 1e-4
    assert not manifest.components["vae_encoder"].fp32_only
    assert read_manifest(tmp_path / "out") == manifest
    report = verify_bundle(tmp_path / "out")
    assert report.ok
    assert ("vae_decoder", "fp16") not in {(r.component, r.compute) for r in report.replays}


# ---- fp32


@pytest.fixture(scope="module")
def wide(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide") / "bundle"
    return folder, export_model(checkpoint, folder, dtype="fp32")


def test_fp32_keeps_the_weights_and_both_graphs_run_over_them(checkpoint, wide):
    folder, manifest = wide
    before, after = load_file(checkpoint / UNET_FILE), load_file(folder / "unet" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    exact = parity.Parity(0.0, 0.0)
    for component in manifest.components.values():
        assert component.rounding == parity.Rounding(("F32",), "F32", exact, exact)
        assert not component.fp32_only
        assert 0 < component.parity["fp32"].relative < 1e-5
        assert 1e-5 < component.parity["fp16"].relative < 5e-3
    assert read_manifest(folder) == manifest
    report = verify_bundle(folder)
    assert report.ok and len(report.replays) == 8
    for component in manifest.components:
        for file, dtype in (("model.onnx", "tensor(float16)"), ("model.fp32.onnx", "tensor(float)")):
            onnx.checker.check_model(str(folder / component / file), full_check=True)
            graph = ort.InferenceSession(str(folder / component / file), providers=["CPUExecutionProvider"])
            assert graph.get_outputs()[0].type == dtype


def test_the_runtime_paints_the_checkpoints_pictures_from_an_fp32_bundle(checkpoint, bundle, wide):
    settings = {"seed": 1, "num_inference_steps": 2, "width": 32, "height": 32}
    latents = {}
    for name, folder in {"checkpoint": checkpoint, "fp32": wide[0], "fp16": bundle}.items():
        for dtype in ("fp32", "fp16"):
            with latentrt.load(folder, device="cpu", dtype=dtype) as pipeline:
                latents[name, dtype] = pipeline.txt2img("a b", **settings).latents
    for dtype in ("fp32", "fp16"):
        np.testing.assert_array_equal(latents["fp32", dtype], latents["checkpoint", dtype])
    assert not np.array_equal(latents["fp16", "fp32"], latents["checkpoint", "fp32"])


def test_fp32_keeps_what_exceeds_fp16_which_then_is_not_computed_in(damaged, tmp_path):
    rewrite(damaged / UNET_FILE, exceed)
    manifest = export_model(damaged, tmp_path / "out", dtype="fp32")
    assert manifest.components["unet"].fp32_only
    assert not manifest.components["vae_decoder"].fp32_only
    assert load_file(tmp_path / "out/unet/model.safetensors")["conv_out.bias"][1] == 1e6
    assert verify_bundle(tmp_path / "out").ok


@pytest.mark.parametrize("dtype", ["bf16", "auto", None, 16])
def test_other_types_are_refused(checkpoint, tmp_path, dtype):
    with pytest.raises(SettingError, match="dtype: expected fp16 or fp32, got"):
        export_model(checkpoint, tmp_path / "out", dtype=dtype)


# ---- configs


@pytest.mark.parametrize("value", [0, 1e-300, "much"])
def test_a_scaling_factor_of_zero_is_said_before_anything_is_written(damaged, tmp_path, value, capsys):
    rewrite_config(damaged / "vae", {"scaling_factor": value})
    assert main(["export", str(damaged), str(tmp_path / "out"), "--quiet"]) == 1
    error = capsys.readouterr().err
    where = damaged / "vae" / "config.json"
    assert error.startswith(f"latentrt: error: {where}: scaling_factor is {value!r}; expected a ")
    assert error.count("\n") == 1
    assert left(tmp_path) == []


# ---- int8


@pytest.fixture(scope="module")
def integers(checkpoint, tmp_path_factory):
    """The bundle with graphs in 8-bit integers besides."""
    out = tmp_path_factory.mktemp("int8") / "bundle"
    export_model(checkpoint, out, int8=True)
    return out


def test_plain_onnxruntime_loads_the_unet_in_int8_and_it_is_near_torch(integers):
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((2, 4, 10, 8)).astype(np.float32)
    context = rng.standard_normal((2, 9, 32)).astype(np.float32)
    with torch.inference_mode():
        wanted = make_unet()(torch.tensor(sample), torch.tensor(500.5), torch.tensor(context)).sample.numpy()
    session = ort.InferenceSession(
        str(integers / "unet" / "model.int8.onnx"), providers=["CPUExecutionProvider"]
    )
    time = np.asarray(500.5, np.float32)
    feeds = {"sample": sample, "timestep": time, "encoder_hidden_states": context}
    (got,) = session.run(None, feeds)
    assert np.linalg.norm(got - wanted) / np.linalg.norm(wanted) < 0.1


def test_its_manifest_names_it_and_verify_replays_it(integers):
    manifest = read_manifest(integers)
    assert {name: "int8" in c.graphs for name, c in manifest.components.items()} == {
        name: name in ("unet", "vae_decoder") for name in manifest.components
    }
    for name in ("unet", "vae_decoder"):
        assert manifest.components[name].int8_weights == f"{name}/model.int8.safetensors"
        assert 0 < manifest.components[name].parity["int8"].relative < RELATIVE_BOUNDS["int8"]
    report = verify_bundle(integers)
    assert report.ok
    assert [r.component for r in report.replays if r.compute == "int8"] == ["unet", "vae_decoder"]


def test_a_bundle_is_the_same_with_int8_and_without(bundle, integers):
    for name in ("model.onnx", "model.fp32.onnx", "model.safetensors"):
        assert (bundle / "unet" / name).read_bytes() == (integers / "unet" / name).read_bytes()


# ---- verify


def test_manifests_of_versions_that_measured_no_rounding_are_read(copied):
    path = copied / "latentrt.json"
    manifest = json.loads(path.read_text())
    for component in manifest["components"].values():
        del component["rounding"], component["reference"]
    path.write_text(json.dumps(manifest))
    read = read_manifest(copied)
    assert {(c.reference, c.rounding) for c in read.components.values()} == {("float32", None)}
    assert verify_bundle(copied).ok


def test_verify_replays_both_graphs(bundle):
    report = verify_bundle(bundle)
    assert report.ok and not (report.missing or report.extra or report.changed)
    assert len(report.replays) == 8
    for replay in report.replays:
        assert 0 < replay.relative < replay.bound
        assert replay.bound == RELATIVE_BOUNDS[replay.compute]


def test_verify_finds_one_flipped_bit(copied):
    file = copied / "unet" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    report = verify_bundle(copied)
    assert report.changed == ("unet/model.safetensors",)
    assert not report.ok
    assert {replay.component for replay in report.replays} == {"text_encoder", "vae_encoder", "vae_decoder"}


def test_verify_names_missing_and_extra_files(copied):
    (copied / "tokenizer" / "merges.txt").unlink()
    (copied / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"other weights")
    (copied / ".DS_Store").write_bytes(b"")
    report = verify_bundle(copied)
    assert report.missing == ("tokenizer/merges.txt",)
    assert report.extra == ("unet/diffusion_pytorch_model.safetensors",)
    assert report.changed == () and not report.ok


def test_verify_finds_a_graph_that_computes_something_else(copied):
    """Hashes can be made to fit; the vectors still tell."""
    path = copied / "vae_encoder" / "model.fp32.onnx"
    model = onnx.load(path, load_external_data=False)
    next(node for node in model.graph.node if node.op_type == "InstanceNormalization").attribute[0].f = 10.0
    path.write_bytes(model.SerializeToString())
    manifest = json.loads((copied / "latentrt.json").read_text())
    from latentrt.models.manifest import hash_file

    entry = hash_file(path)
    manifest["files"]["vae_encoder/model.fp32.onnx"] = {"size": entry.size, "sha256": entry.sha256}
    (copied / "latentrt.json").write_text(json.dumps(manifest))
    report = verify_bundle(copied)
    assert not report.changed and not report.ok
    assert [(r.component, r.compute) for r in report.replays if not r.ok] == [("vae_encoder", "fp32")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=2), "format version 2; this latentrt reads 1"),
        (lambda m: m["components"]["unet"].update(weights="../outside"), "outside of the bundle; refused"),
        (lambda m: m["components"]["unet"].update(weights="/etc/passwd"), "outside of the bundle; refused"),
        (
            lambda m: m["files"].update({"link/passwd": {"size": 1, "sha256": "0" * 64}}),
            "outside of the bundle",
        ),
        (lambda m: m["components"]["unet"].update(config="unet/other.json"), "lists no size and hash"),
        (lambda m: m["components"]["unet"].pop("graphs"), "not a valid manifest: KeyError: 'graphs'"),
        (lambda m: m["components"]["unet"].update(fp32_only="no"), "not a valid manifest: ValueError"),
        (lambda m: m["components"]["unet"].update(rounding=[]), "not a valid manifest: TypeError"),
        (lambda m: m["components"]["unet"].update(reference="bf16"), "not a valid manifest: ValueError"),
        (
            lambda m: m["components"]["unet"]["rounding"]["weights"].update(relative=-1),
            "not a valid manifest",
        ),
        (
            lambda m: m["components"]["unet"].update(int8_weights="unet/model.int8.safetensors"),
            "int8_weights go with",
        ),
        (lambda m: m.update(components=[1]), "not a valid manifest: AttributeError"),
    ],
)
def test_manifests_that_are_refused(copied, change, message):
    (copied / "link").symlink_to("/etc")
    manifest = json.loads((copied / "latentrt.json").read_text())
    change(manifest)
    (copied / "latentrt.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message):
        verify_bundle(copied)


def test_verify_wants_a_bundle(checkpoint, tmp_path):
    with pytest.raises(ModelError, match=r"is no bundle: it has no latentrt\.json"):
        verify_bundle(checkpoint)
    with pytest.raises(ModelError, match=r"is no bundle"):
        verify_bundle(tmp_path / "absent")


# ---- what can be wrong


def drop(tensors):
    del tensors["mid_block.attentions.0.proj_in.weight"]


def reshape(tensors):
    tensors["conv_in.weight"] = torch.zeros(32, 4, 5, 5)


def poison(tensors):
    tensors["conv_out.bias"][1] = float("nan")


def exceed(tensors):
    tensors["conv_out.bias"][1] = 1e6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"tensor mid_block\.attentions\.0\.proj_in\.weight is missing; .* shape \(64, 64, 1, 1\)"),
        (reshape, r"tensor conv_in\.weight has shape \(32, 4, 5, 5\); config\.json asks for \(32, 4, 3, 3\)"),
        (poison, r"tensor conv_out\.bias holds NaN or infinity"),
        (
            exceed,
            r"unet: tensor conv_out\.bias holds 1e\+06, which exceeds the range of float16 \(65504\); "
            r"export with --dtype fp32, which keeps it",
        ),
    ],
)
def test_wrong_weights_are_named(damaged, tmp_path, unproven, change, message):
    rewrite(damaged / UNET_FILE, change)
    with pytest.raises(WeightsError, match=message):
        export_model(damaged, tmp_path / "out")
    assert left(tmp_path) == []


def test_truncated_missing_and_hostile_weights(damaged, tmp_path, unproven):
    file = damaged / UNET_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"truncated: tensor .* download it again"):
        export_model(damaged, tmp_path / "out")
    file.unlink()
    with pytest.raises(WeightsError, match=r"unet: no weights\. Expected diffusion_pytorch_model"):
        export_model(damaged, tmp_path / "out")

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    torch.save({"conv_in.weight": Hostile()}, file.with_suffix(".bin"))
    with pytest.raises(WeightsError, match=r"torch refuses to read it with weights_only"):
        export_model(damaged, tmp_path / "out")
    assert left(tmp_path) == []


def test_models_of_other_kinds_are_named(damaged, bundle, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere: no such model\. Expected "):
        open_source(tmp_path / "nowhere")
    with pytest.raises(
        ModelError, match=r"unet: is one part of a model \(UNet2DConditionModel\): give the folder"
    ):
        open_source(damaged / "unet")
    with pytest.raises(ModelError, match=r"is a bundle already"):
        open_source(bundle)
    path = damaged / "model_index.json"
    index = json.loads(path.read_text())
    for change, message in (
        ({"controlnet": ["diffusers", "ControlNetModel"]}, r"has a controlnet \(diffusers\.ControlNetModel\)"),
        ({"unet": ["diffusers", "UNet3DConditionModel"]}, r"unet: .* is a UNet3DConditionModel.* expected UNet2DC"),
        ({"vae": ["diffusers", "AutoencoderTiny"]}, r"the vae_\w+ is a AutoencoderTiny"),
    ):  # fmt: skip
        path.write_text(json.dumps({**index, **change}))
        with pytest.raises(ModelError, match=message):
            open_source(damaged)
    path.write_text("{")
    with pytest.raises(ModelError, match=r"not valid JSON"):
        open_source(damaged)


def test_out_is_never_taken_from_anybody(damaged, bundle, tmp_path, unproven):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "novel.txt").write_text("chapter one")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"is a folder with other files"):
            export_model(damaged, tmp_path / "mine", overwrite=overwrite)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"is a file; expected a folder"):
        export_model(damaged, tmp_path / "file")
    with pytest.raises(InputError, match=r"lies in the checkpoint itself"):
        export_model(damaged, damaged / "out")
    with pytest.raises(InputError, match=r"out: cannot be written"):
        export_model(damaged, tmp_path / "file" / "out")
    earlier = shutil.copytree(bundle, tmp_path / "earlier")
    with pytest.raises(InputError, match=r"holds a bundle; give --overwrite"):
        export_model(damaged, earlier)
    (earlier / "stale").write_text("x")
    export_model(damaged, earlier, overwrite=True)
    assert not (earlier / "stale").exists()
    (tmp_path / "empty").mkdir()
    (tmp_path / ".empty.latentrt-lock").touch()  # of an export that was killed
    (tmp_path / ".empty.latentrt-new").mkdir()
    export_model(damaged, tmp_path / "empty")
    read_manifest(tmp_path / "empty")
    assert left(tmp_path) == ["earlier", "empty", "file", "mine"]


def test_a_full_disk_leaves_nothing(damaged, bundle, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    earlier = shutil.copytree(bundle, tmp_path / "earlier")
    monkeypatch.setattr(writer, "_write_weights", full)
    with pytest.raises(LatentrtError, match=r"earlier: No space left on device; nothing was written"):
        export_model(damaged, earlier, overwrite=True)
    assert left(tmp_path) == ["earlier"]
    read_manifest(earlier)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_a_signal_leaves_nothing(damaged, tmp_path, name, code):
    """While torch or onnxruntime computes, too: the main thread does not wait for them."""
    command = [sys.executable, "-m", "latentrt", "export", str(damaged), str(tmp_path / "out")]
    terminal, end = os.openpty()  # progress is for terminals
    process = subprocess.Popen(command, stderr=end)
    os.close(end)
    shown = b""
    while b"text_encoder: torch" not in shown:
        data = os.read(terminal, 4096)
        assert data, shown
        shown += data
    assert left(tmp_path) == [".out.latentrt-lock", ".out.latentrt-new"]
    process.send_signal(getattr(signal, name))
    started = time.monotonic()
    with contextlib.suppress(OSError):  # Linux's way to say that nobody has the other end any more
        while data := os.read(terminal, 4096):
            shown += data
    os.close(terminal)
    assert process.wait(timeout=60) == code, shown
    if name == "SIGKILL":  # the next one that writes there cleans up
        assert left(tmp_path) == [".out.latentrt-lock", ".out.latentrt-new"]
        sweep(tmp_path)
    assert left(tmp_path) == []
    assert time.monotonic() - started < 60


def test_command_prints_the_table_and_json(checkpoint, tmp_path, monkeypatch, capsys):
    import argparse

    from latentrt_export import cli

    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    errors = {"fp16": parity.Parity(1e-3, 5e-4), "fp32": parity.Parity(1e-6, 5e-7)}
    cost = parity.Rounding(("BF16", "F32"), "F16", parity.Parity(2e-4, 3e-5), parity.Parity(4e-2, 5e-3))
    exact = parity.Rounding(("F16",), "F16", parity.Parity(0.0, 0.0), parity.Parity(0.0, 0.0))
    measured = parity.Proof(errors, False, "float32", cost)
    overflowing = parity.Proof({**errors, "fp16": parity.Parity(None, None)}, True, "float64", exact)

    def prove(folder, component, tensors, sizes, progress):
        (folder / parity.VECTORS_FILE).write_bytes(b"")
        progress(f"{component.name}: onnxruntime fp32")
        return overflowing if component.name == "vae_decoder" else measured

    monkeypatch.setattr("latentrt_export.bundle.export.prove", prove)
    assert cli.run(parser.parse_args([str(checkpoint), str(tmp_path / "a")])) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].split() == ["text_encoder", "fp16", "1.00e-03", "5.00e-04", "2e-02", "float32"]
    assert lines[7].split(maxsplit=2) == ["vae_decoder", "fp16", "overflows: is computed in fp32"]
    assert lines[8].split()[-1] == "float64"
    rounded = ["text_encoder", "BF16/F32", "F16", "2.00e-04", "3.00e-05", "4.00e-02", "5.00e-03"]
    assert lines[11].split() == rounded
    assert lines[14].split(maxsplit=3) == [
        "vae_decoder",
        "F16",
        "F16",
        "none: every weight is the checkpoint's",
    ]
    assert err == ""  # no terminal, no progress
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.run(parser.parse_args([str(checkpoint), str(tmp_path / "b")])) == 0
    out, err = capsys.readouterr()
    assert "unet: weights 100%" in err and "vae_decoder: onnxruntime fp32" in err
    assert err.endswith("\r\x1b[K")
    assert cli.run(parser.parse_args([str(checkpoint), str(tmp_path / "c"), "--json", "--quiet"])) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert err == ""
    assert result["components"]["unet"]["fp32"] == {"max_abs": 1e-6, "relative": 5e-7}
    assert result["components"]["vae_decoder"]["fp16"] == {"max_abs": None, "relative": None}
    assert result["components"]["vae_decoder"]["fp32_only"] is True
    assert result["components"]["vae_decoder"]["reference"] == "float64"
    assert result["components"]["unet"]["rounding"] == {
        "read": ["BF16", "F32"],
        "stored": "F16",
        "weights": {"max_abs": 2e-4, "relative": 3e-5},
        "outputs": {"max_abs": 4e-2, "relative": 5e-3},
    }
