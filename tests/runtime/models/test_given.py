"""Models that others exported to ONNX: each layout in circulation paints what its checkpoint paints; or is refused."""

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from given_models import HALF, SINGLE, Export, exports, optimum, small_checkpoint

import latentrt
from latentrt.cli import main
from latentrt.engine.given_session import TimestepRounded
from latentrt.errors import GraphError, InputError, ModelError, ProviderError
from latentrt.models.bundle import open_model
from latentrt.painting.autoencoder import AlreadySampled
from latentrt.pipeline import TakenForGranted

PAINTED = {"num_inference_steps": 3, "seed": 3, "guidance_scale": 4.0, "num_images": 2, "batch_size": 2}
SIZE = {"width": 16, "height": 16}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("given") / "checkpoint")


@pytest.fixture(scope="module")
def xl_checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("given") / "xl", xl=True)


@pytest.fixture(scope="module")
def as_optimum(checkpoint: Path, tmp_path_factory) -> Path:
    return optimum(checkpoint, tmp_path_factory.mktemp("given") / "optimum")


def paint(root: Path, dtype: str = "auto", **settings) -> tuple[np.ndarray, list]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TakenForGranted)
        with latentrt.load(root, device="cpu", dtype=dtype) as pipeline:
            result = pipeline.txt2img("a red circle", **{**PAINTED, **SIZE, **settings})
    return result.latents, [np.asarray(image, int) for image in result.images]


@pytest.fixture(scope="module")
def painted(checkpoint: Path) -> dict[str, tuple[np.ndarray, list]]:
    return {dtype: paint(checkpoint, dtype) for dtype in ("fp32", "fp16")}


def same(one, other, bound: float = 1e-4) -> None:
    assert np.abs(one[0]).max() > 1
    assert np.abs(one[0] - other[0]).max() < bound
    assert max(np.abs(a - b).max() for a, b in zip(one[1], other[1], strict=True)) <= (
        1 if bound < 1e-3 else 4
    )


def tokenizers(checkpoint: Path, root: Path, *files: str) -> None:
    for folder in checkpoint.glob("tokenizer*"):
        (root / folder.name).mkdir(parents=True)
        for name in files or [path.name for path in folder.iterdir()]:
            shutil.copy(folder / name, root / folder.name)


class TestLayouts:
    def test_optimum(self, as_optimum: Path, painted) -> None:
        model = open_model(as_optimum)
        assert model.layout == "folders, as optimum's"
        assert not model.notes
        assert model.default_size == (16, 16)
        same(paint(as_optimum), painted["fp32"])

    def test_diffusers_onnx_branches(self, checkpoint: Path, painted, tmp_path: Path) -> None:
        made = exports(open_model(checkpoint))
        made["text_encoder"].only("last_hidden_state", "pooler_output").takes("input_ids", dtype=np.int32)
        made["unet"].takes("timestep", shape=["batch"])
        made["vae_encoder"].gives("latent_parameters", "latent_sample", first=4)
        for name, export in made.items():
            export.save(tmp_path / name / "model.onnx", "weights.pb" if name == "unet" else None)
        tokenizers(checkpoint, tmp_path)
        shutil.copytree(checkpoint / "scheduler", tmp_path / "scheduler")
        (tmp_path / "model_index.json").write_text(
            json.dumps(
                {"_class_name": "OnnxStableDiffusionPipeline", "unet": ["diffusers", "OnnxRuntimeModel"],
                 "scheduler": ["diffusers", "PNDMScheduler"], "safety_checker": ["diffusers", "OnnxRuntimeModel"]}
            )
        )  # fmt: skip
        model = open_model(tmp_path)
        assert model.layout == "folders, as diffusers' onnx branches"
        assert [note.partition(":")[0] for note in model.notes] == ["no vae_decoder/config.json"]
        assert model.scaling_factor == 0.18215
        assert model.vae_scale_factor == 2
        same(paint(tmp_path), painted["fp32"])

    def test_an_encoder_that_samples_is_taken_and_told(
        self, checkpoint: Path, as_optimum: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(as_optimum, tmp_path, dirs_exist_ok=True)
        export = Export(open_model(checkpoint).components["vae_encoder"])
        export.gives("latent_parameters", "latent_sample", first=4).save(
            tmp_path / "vae_encoder" / "model.onnx"
        )
        picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
        with (
            latentrt.load(tmp_path, device="cpu") as pipeline,
            latentrt.load(checkpoint, device="cpu") as own,
        ):
            with pytest.warns(AlreadySampled, match="whatever the seed"):
                latents = pipeline.encode(picture, seed=1)
            assert np.abs(latents - own.encode(picture)).max() < 1e-5  # this one "draws" the mean
            with pytest.warns(AlreadySampled):
                pipeline.img2img("a", picture, num_inference_steps=2, strength=0.5, seed=1)

    # Of an fp16 graph ONNX Runtime's CPU computes in fp32 what it can: rounding at ports is what differs there.
    @pytest.mark.parametrize(("compute", "bound"), [("fp32", 1e-4), ("fp16", 5e-2)])
    def test_amuse(self, checkpoint: Path, painted, tmp_path: Path, compute: str, bound: float) -> None:
        made = exports(open_model(checkpoint), compute)
        made["text_encoder"].takes("input_ids", dtype=np.int32)
        for name, export in made.items():
            if name.startswith("vae"):
                export.fixed(batch=1)
            export.floats(SINGLE).save(tmp_path / name / "model.onnx", "model.onnx.data")
        tokenizers(checkpoint, tmp_path, "vocab.json", "merges.txt")
        (tmp_path / "amuse_template.json").write_text("{}")
        model = open_model(tmp_path)
        assert model.layout == "folders without model_index.json, as of OnnxStack and Amuse"
        assert [note.partition(":")[0] for note in model.notes] == [
            "no vae_decoder/config.json",
            "no scheduler/scheduler_config.json",
        ]
        with pytest.warns(TakenForGranted, match=r"Stable Diffusion 1\.x as published"):
            latentrt.load(tmp_path, device="cpu").close()
        same(paint(tmp_path), painted[compute], bound)

    @pytest.mark.parametrize(("compute", "bound"), [("fp32", 1e-4), ("fp16", 5e-2)])
    def test_engines_of_onnx_runtime(self, checkpoint: Path, painted, tmp_path, compute, bound) -> None:
        made = exports(open_model(checkpoint), compute)
        made["text_encoder"].only("last_hidden_state").gives("last_hidden_state", "text_embeddings")
        made["text_encoder"].takes("input_ids", dtype=np.int32).fixed(sequence=77)
        made["unet"].takes("timestep", shape=[1]).takes("sample", dtype=SINGLE).gives("out_sample", "latent")
        made["vae_decoder"].takes("latent_sample", "latent").gives("sample", "images")
        folders = {"text_encoder": "clip", "unet": "unet", "vae_decoder": "vae"}
        for name, folder in folders.items():
            made[name].save(tmp_path / "engine" / f"{folder}.ort_cuda.fp16" / "model.onnx")
        tokenizers(checkpoint, tmp_path, "vocab.json", "merges.txt")
        assert open_model(tmp_path).layout == "engines of ONNX Runtime's CUDA pipelines"
        same(paint(tmp_path), painted[compute], bound)
        with pytest.warns(TakenForGranted), latentrt.load(tmp_path / "engine", device="cpu") as pipeline:
            picture = np.zeros((16, 16, 3), np.uint8)
            with pytest.raises(ModelError, match="has no vae_encoder"):
                pipeline.img2img("a", picture, num_inference_steps=2)
            with pytest.raises(ModelError, match="has no vae_encoder"):
                pipeline.encode(picture)

    @pytest.mark.parametrize(("compute", "bound"), [("fp32", 1e-4), ("fp16", 5e-2)])
    def test_flat_static_files(self, checkpoint: Path, painted, tmp_path: Path, compute, bound) -> None:
        made = exports(open_model(checkpoint), compute)
        made["text_encoder"].takes("input_ids", dtype=np.int32).fixed(batch=1, sequence=77)
        made["unet"].takes("timestep", shape=[2], dtype=HALF if compute == "fp16" else SINGLE)
        made["unet"].fixed(batch=2, height=8, width=8, sequence=77)
        made["vae_decoder"].fixed(batch=1, height=8, width=8)
        names = {
            "text_encoder": "Stable-Diffusion-v1.5-text-encoder-float16.onnx",
            "unet": "sd-unet-v1.5-model-b2c4h8w8s77-float16-compute-and-inputs-layernorm.onnx",
            "vae_decoder": "Stable-Diffusion-v1.5-vae-decoder-float16-fp32-instancenorm.onnx",
        }
        for name, file in names.items():
            made[name].save(tmp_path / file)
        Export(open_model(checkpoint).components["vae_encoder"]).save(tmp_path / "safety_checker_int8.onnx")
        tokenizers(checkpoint, tmp_path)
        model = open_model(tmp_path)
        assert model.layout == "flat files, as of WebNN's samples"
        assert model.default_size == (16, 16)
        assert model.default_side("width") == 16
        # A batch of 2, guided, in a UNet of 2; and one evaluation alone, which is filled up.
        same(paint(tmp_path), painted[compute], bound)
        one = {"guidance_scale": 1.0, "num_images": 1, "batch_size": 1}
        same(paint(tmp_path, **one), paint(checkpoint, compute, **one), bound)
        with pytest.raises(InputError, match=r"width: expected 16, which .* exported with .* got 24"):
            paint(tmp_path, width=24)
        with pytest.raises(InputError, match=r"negative_prompt: takes 2 rows .* exported for 77 tokens"):
            paint(tmp_path, negative_prompt="a " * 80, like="a1111", sampler="euler")

    @pytest.mark.parametrize(("compute", "bound"), [("fp32", 1e-4), ("fp16", 5e-2)])
    def test_amd(self, checkpoint: Path, painted, tmp_path: Path, compute, bound) -> None:
        root = tmp_path / f"model_io{compute[2:]}_amdgpu"
        made = exports(open_model(checkpoint), compute)
        for name, export in made.items():
            export.floats(HALF if compute == "fp16" else SINGLE).save(
                root / name / "model.onnx", "model.onnx.data"
            )
            shutil.copy(export.component.where, root / name / "config.json")
        shutil.copytree(checkpoint / "scheduler", root / "scheduler")
        shutil.copy(checkpoint / "model_index.json", root)
        tokenizers(checkpoint, root)
        model = open_model(root)
        assert model.layout == "folders, as AMD's"
        assert not model.notes
        same(paint(root), painted[compute], bound)

    def test_a_model_of_sdxls_kind_in_engines(self, xl_checkpoint: Path, tmp_path: Path) -> None:
        model = open_model(xl_checkpoint)
        made = exports(model)
        for name in ("text_encoder", "text_encoder_2"):
            first = "last_hidden_state" if name == "text_encoder" else "text_embeds"
            made[name].only(first, "hidden_states.1").gives(first, "text_embeddings")
            made[name].gives("hidden_states.1", "hidden_states")
        made["unet"].gives("out_sample", "latent").takes("timestep", shape=[1]).fixed(time_ids=6)
        made["vae_decoder"].takes("latent_sample", "latent").gives("sample", "images")
        folders = {"text_encoder": "clip", "text_encoder_2": "clip2", "unet": "unetxl", "vae_decoder": "vae"}
        for name, folder in folders.items():
            made[name].save(tmp_path / f"{folder}.ort_cuda.fp16" / "model.onnx")
        tokenizers(xl_checkpoint, tmp_path)
        given = open_model(tmp_path)
        assert given.is_xl
        assert given.num_time_ids == 6
        assert given.scheduler_config["_class_name"] == "EulerDiscreteScheduler"
        (xl_checkpoint / "scheduler" / "scheduler_config.json").write_text(json.dumps(given.scheduler_config))
        (xl_checkpoint / "model_index.json").write_text(
            json.dumps({**model.index, "scheduler": ["diffusers", "EulerDiscreteScheduler"]})
        )
        same(paint(tmp_path), paint(xl_checkpoint, "fp32"))
        with pytest.raises(InputError, match="clip_skip: cannot be had here"):
            paint(tmp_path, clip_skip=1)


class TestRead:
    def test_a_checkpoint_with_exports_beside_it_is_a_checkpoint(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        root = tmp_path / "both"
        shutil.copytree(checkpoint, root)
        (root / "unet" / "model.onnx").write_bytes(b"never read")
        assert open_model(root).layout is None

    def test_links_of_a_hubs_cache(self, as_optimum: Path, painted, tmp_path: Path) -> None:
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
        blobs.mkdir()
        for index, path in enumerate(sorted(p for p in as_optimum.rglob("*") if p.is_file())):
            shutil.copy(path, blobs / str(index))
            link = snapshot / path.relative_to(as_optimum)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blobs / str(index))
        same(paint(snapshot), painted["fp32"])

    def test_fractions_where_a_graph_takes_whole_timesteps(self, as_optimum: Path, checkpoint: Path) -> None:
        run = {"sampler": "euler", "num_inference_steps": 5, "seed": 1, **SIZE}
        with (
            pytest.warns(TimestepRounded, match="takes whole timesteps") as caught,
            latentrt.load(as_optimum, device="cpu") as pipeline,
        ):
            latents = pipeline.start_txt2img("a", **run).latents()
        assert len(caught) == 1
        with latentrt.load(checkpoint, device="cpu") as own:
            exact = own.start_txt2img("a", **run).latents()
        assert 0 < np.abs(latents - exact).max() < 0.5

    def test_sizes_are_free_where_the_graph_leaves_them(self, as_optimum: Path, checkpoint: Path) -> None:
        odd = {"width": 24, "height": 8, "num_images": 1, "batch_size": 1}
        same(paint(as_optimum, **odd), paint(checkpoint, "fp32", **odd))

    def test_usual_inputs_are_given_what_changes_nothing(
        self, as_optimum: Path, checkpoint: Path, painted, tmp_path: Path
    ) -> None:
        shutil.copytree(as_optimum, tmp_path, dirs_exist_ok=True)
        components = open_model(checkpoint).components
        Export(components["unet"]).also_takes("return_dict", np.bool_).save(tmp_path / "unet" / "model.onnx")
        encoder = Export(components["text_encoder"]).also_takes(
            "attention_mask", np.int64, ("batch", "sequence")
        )
        encoder.save(tmp_path / "text_encoder" / "model.onnx")
        same(paint(tmp_path), painted["fp32"])

    def test_a_prediction_type_that_is_said_counts(self, as_optimum: Path) -> None:
        from latentrt.models.given.layout import find_layout
        from latentrt.models.given.opening import open_given

        layout = find_layout(as_optimum)
        assert layout is not None
        model = open_given(as_optimum, layout, {}, prediction_type="v_prediction")
        assert model.scheduler_config["prediction_type"] == "v_prediction"

    def test_info_tells_what_was_given(self, as_optimum: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (as_optimum / "tokenizer" / "notes.txt").write_text("")  # nobody's business
        assert main(["info", str(as_optimum), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        unet = facts["components"]["unet"]
        assert facts["kind"] == "ONNX as given (folders, as optimum's)"
        assert unet["graph"]["inputs"]["timestep"] == "int64 ()"
        assert unet["graph"]["precision"] == "fp32"
        assert set(unet["files"]) == {"model.onnx", "model.onnx_data"}
        assert facts["parameters"] == sum(part["parameters"] for part in facts["components"].values())
        assert main(["info", str(as_optimum)]) == 0
        assert "given, computes in fp32" in capsys.readouterr().out


class TestRefused:
    @pytest.fixture
    def folder(self, as_optimum: Path, tmp_path: Path) -> Path:
        root = tmp_path / "folder"
        shutil.copytree(as_optimum, root)
        return root

    @pytest.fixture
    def unet(self, checkpoint: Path) -> Export:
        return Export(open_model(checkpoint).components["unet"])

    def test_operators_that_the_provider_lacks_are_listed_first(self, folder: Path, unet: Export) -> None:
        for op, count in (("GroupNorm", 2), ("NhwcConv", 1), ("MultiHeadAttention", 1)):
            for index in range(count):
                unet.model.graph.node.add(
                    op_type=op, domain="com.microsoft", input=["sample"], output=[f"{op}.{index}"]
                )
        unet.save(folder / "unet" / "model.onnx")
        assert open_model(folder).layout == "folders, optimised by Olive or ONNX Runtime"
        with pytest.raises(ProviderError) as told:
            paint(folder)
        assert "com.microsoft.GroupNorm (2), com.microsoft.NhwcConv (1)" in str(told.value)
        assert "MultiHeadAttention" not in str(told.value)  # which the CPU has
        assert "on cpu" in str(told.value)

    @pytest.mark.parametrize(
        ("name", "dtype", "shape", "match"),
        [
            ("controlnet_conds", SINGLE, (1, "batch", 3, "h", "w"), "a ControlNet is part of this graph"),
            ("controlnet_scales", SINGLE, (1,), "a ControlNet is part of this graph"),
            ("down_block_0_additional_residual", SINGLE, ("b", 32, "h", "w"), "a ControlNet"),
            ("my_own", np.bool_, (), r"wants my_own \(bool, 0 axes\), and what to give it is not known"),
        ],
    )
    def test_inputs_that_nothing_is_known_of(
        self, folder: Path, unet: Export, name, dtype, shape, match
    ) -> None:
        unet.also_takes(name, dtype, shape).save(folder / "unet" / "model.onnx")
        with pytest.raises(GraphError, match=match):
            open_model(folder)

    def test_ports_that_are_missing(self, folder: Path, unet: Export, checkpoint: Path) -> None:
        unet.gives("out_sample", "result").save(folder / "unet" / "model.onnx")
        with pytest.raises(GraphError, match="no output out_sample or latent or sample; it has result"):
            open_model(folder)
        Export(open_model(checkpoint).components["vae_decoder"]).save(folder / "unet" / "model.onnx")
        with pytest.raises(GraphError, match="no input sample; it has latent_sample"):
            open_model(folder)

    def test_sdxl_without_hidden_states(self, xl_checkpoint: Path, tmp_path: Path) -> None:
        root = optimum(xl_checkpoint, tmp_path / "xl")
        encoder = Export(open_model(xl_checkpoint).components["text_encoder"])
        encoder.only("last_hidden_state", "pooler_output").save(root / "text_encoder" / "model.onnx")
        with pytest.raises(
            GraphError, match="no hidden_states.N. A model of SDXL's kind reads the state before"
        ):
            open_model(root)

    def test_what_only_a_graph_that_is_written_here_can(self, as_optimum: Path, capsys) -> None:
        for option, told in (
            (["--clip-skip", "1"], "--clip-skip: cannot be had here"),
            (["--tile", "64"], "tiles take the whole picture's norms"),
            (["--dtype", "fp16"], "dtype: expected auto or fp32, which"),
        ):
            assert main(["generate", "a", "--model", str(as_optimum), "--device", "cpu", *option]) == 2
            assert told in capsys.readouterr().err
        assert main(["verify", str(as_optimum)]) == 1
        assert "is no bundle" in capsys.readouterr().err
        with pytest.raises(ModelError, match="expected the checkpoint that it was made from"):
            from latentrt.networks import Variant

            open_model(as_optimum).components["unet"].graph(Variant())

    @pytest.mark.parametrize(
        "location", ["../secret", "/etc/passwd", "..\\secret", "", "absent", "*/_ORT_MEM_ADDR_/*"]
    )
    def test_weights_outside_of_the_folder(self, folder: Path, unet: Export, location: str) -> None:
        (folder / "secret").write_bytes(bytes(1 << 20))
        unet.save(folder / "unet" / "model.onnx", "model.onnx_data")
        for tensor in unet.model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        unet.save(folder / "unet" / "model.onnx")
        with pytest.raises(ModelError, match=r"lies outside of the graph's folder|which is not there"):
            open_model(folder)

    def test_weights_that_a_node_holds_outside_of_the_folder(self, folder: Path, unet: Export) -> None:
        node = unet.model.graph.node.add(op_type="Constant", output=["constant"])
        tensor = node.attribute.add(name="value", type=4).t
        tensor.data_type, tensor.data_location = 1, 1
        tensor.dims.append(4)
        tensor.external_data.add(key="location", value="../secret")
        unet.save(folder / "unet" / "model.onnx")
        with pytest.raises(ModelError, match="lies outside of the graph's folder"):
            open_model(folder)

    def test_weights_that_are_not_whole(self, folder: Path) -> None:
        data = folder / "unet" / "model.onnx_data"
        data.write_bytes(data.read_bytes()[:-100])
        with pytest.raises(GraphError, match="download it again"):
            open_model(folder)

    @pytest.mark.parametrize(
        "content",
        [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html></html>", b"\x3a\xff\xff\xff\xff\x0f",
         b"\x3a" * 64, bytes(1000)],
    )  # fmt: skip
    def test_what_is_no_onnx(self, folder: Path, content: bytes) -> None:
        (folder / "unet" / "model.onnx").write_bytes(content)
        with pytest.raises(GraphError, match=re.escape(str(folder / "unet" / "model.onnx"))):
            open_model(folder)

    def test_a_newer_format_is_told_in_onnx_runtimes_words(self, folder: Path, unet: Export) -> None:
        unet.model.ir_version = 9999
        unet.save(folder / "unet" / "model.onnx")
        with pytest.raises(ProviderError, match="cpu refused .*IR version"):
            paint(folder)

    def test_what_cannot_be_read_from_a_graph_is_asked_for(self, folder: Path, tmp_path: Path) -> None:
        (folder / "vae_decoder" / "config.json").unlink()
        (folder / "vae_encoder" / "config.json").unlink()
        shutil.rmtree(folder / "scheduler")
        notes = open_model(folder).notes
        assert len(notes) == 2  # its widths are Stable Diffusion 1.x's
        narrow = optimum(small_checkpoint(tmp_path / "narrow", width=32), tmp_path / "narrow-onnx")
        shutil.rmtree(narrow / "scheduler")
        with pytest.raises(
            ModelError, match="the scheduler cannot be read from a graph.*Put that of the model"
        ):
            open_model(narrow)
        shutil.copytree(tmp_path / "narrow" / "scheduler", narrow / "scheduler")
        for name in ("vae_decoder", "vae_encoder"):
            (narrow / name / "config.json").unlink()
        with pytest.raises(ModelError, match="the VAE's scaling factor cannot be read from a graph"):
            open_model(narrow)

    def test_which_of_stable_diffusion_2_is_asked_for(self, tmp_path: Path) -> None:
        root = optimum(small_checkpoint(tmp_path / "two", width=1024), tmp_path / "two-onnx")
        shutil.rmtree(root / "scheduler")
        with pytest.raises(ModelError, match="predicts epsilon .* or v_prediction .*--prediction-type"):
            open_model(root)

    def test_two_files_for_one_network(self, checkpoint: Path, tmp_path: Path, unet: Export) -> None:
        for name in ("sd-unet-a.onnx", "sd-unet-b.onnx"):
            unet.save(tmp_path / name)
        with pytest.raises(ModelError, match=r"sd-unet-a\.onnx and sd-unet-b\.onnx might each be the unet"):
            open_model(tmp_path)

    def test_a_missing_network(self, folder: Path) -> None:
        shutil.rmtree(folder / "text_encoder")
        with pytest.raises(ModelError, match="an ONNX model without text_encoder"):
            open_model(folder)

    def test_a_half_made_bundle_is_none(self, folder: Path) -> None:
        shutil.copy(folder / "unet" / "model.onnx", folder / "unet" / "model.fp32.onnx")
        with pytest.raises(ModelError, match=r"a bundle without latentrt\.json"):
            open_model(folder)
