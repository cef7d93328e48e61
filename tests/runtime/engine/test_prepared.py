"""Prepared weights: the same values as without them, whatever becomes of the folder that they are kept in."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import latentrt
from latentrt.engine import runner
from latentrt.engine import session as sessions
from latentrt.engine.memory import Call, inputs_of
from latentrt.engine.networks import Networks, place
from latentrt.engine.prepared import entry as entries
from latentrt.engine.prepared import folder, making, optimised
from latentrt.engine.prepared import key as keying
from latentrt.engine.prepared.folder import Cache, NotPrepared, cache_here
from latentrt.engine.prepared.key import key_of
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.models.safetensors import write_safetensors
from latentrt.models.weights import read_safetensors
from latentrt.networks import Variant
from latentrt.networks.cost.shapes import infer
from latentrt.networks.proto import ModelProto

LATENTS = np.random.default_rng(0).standard_normal((1, 4, 4, 4)).astype(np.float32)
REMOVED = Path.unlink
PIXELS = {"sample": np.ones((1, 3, 16, 16), np.float32)}
SCRIPT = """
import sys
import numpy as np
from latentrt.engine import runner
from latentrt.engine.networks import place
from latentrt.models.bundle import open_model
runner._LEAST = 0
made = place("cpu", cache=True).runner(open_model(sys.argv[1]).components["vae_decoder"])
latents = np.random.default_rng(0).standard_normal((1, 4, 4, 4)).astype(np.float32)
print(made.run({"latent_sample": latents})["sample"].tobytes().hex())
"""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Cache:
    """A folder of its own, in which small networks are kept, too."""
    monkeypatch.setenv("LATENTRT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "_LEAST", 0)
    monkeypatch.setattr(folder, "_told", set())
    found = cache_here()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def expected(random_model):
    """What the decoder gives without a cache."""
    return decoded(random_model, cache=False)[0]


def decoded(model, cache=True, name="vae_decoder", feeds=None, **options):
    """What a network gives, and whether it was loaded from what is prepared."""
    made = place("cpu", cache=cache, **options).runner(open_model(model).components[name])
    feeds = {"latent_sample": LATENTS} if feeds is None else feeds
    value = next(iter(made.run(feeds).values()))
    (session,) = made._sessions.values()
    made.close()
    return value, session.is_prepared


def only(cache: Cache) -> Path:
    """The folder of the one network that is kept."""
    (kept,) = cache.kept()
    return cache.root / kept.key


def hidden(cache: Cache) -> list[str]:
    return [path.name for path in cache.root.iterdir() if not path.name.isalnum()]


class TestSameValues:
    @pytest.mark.parametrize("low_memory", [False, True])
    def test_first_and_second_time_in_every_size(self, random_model, cache, low_memory):
        rng = np.random.default_rng(1)
        for component in ("unet", "vae_decoder", "vae_encoder"):
            graph = open_model(random_model).components[component].graph(Variant())
            sides = {"batch": 2, "sequence": 77}
            for size in (8, 12):  # the second is prepared by then, for the first
                shapes = {
                    name: [sides.get(side, size) if isinstance(side, str) else side for side in value.shape]
                    for name, value in graph.inputs.items()
                }
                feeds = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
                plain, _ = decoded(random_model, False, component, feeds, low_memory=low_memory)
                for _ in range(2):
                    value, is_prepared = decoded(random_model, True, component, feeds, low_memory=low_memory)
                    assert is_prepared
                    np.testing.assert_array_equal(value, plain)
        assert {kept.component for kept in cache.kept()} == {"unet", "vae_decoder", "vae_encoder"}
        assert hidden(cache) == []

    def test_pictures_tiles_and_second_passes(self, random_model, cache):
        latents = np.random.default_rng(2).standard_normal((1, 4, 40, 40)).astype(np.float32)
        got = {}
        for kept in (False, True, True):
            with latentrt.load(random_model, device="cpu", cache=kept) as pipeline:
                run = {"seed": 1, "num_inference_steps": 2}
                pictures = pipeline.txt2img(
                    "a star", width=64, height=96, hires=latentrt.Hires(1.5), **run
                ).images
                pictures += pipeline.decode(latents, tile=256)
                prepared = [session.is_prepared for session in pipeline.runners["unet"]._sessions.values()]
            assert prepared == [kept]
            got.setdefault(kept, []).append([picture.tobytes() for picture in pictures])
        assert got[True] == got[False] * 2

    def test_every_stored_type(self, tmp_path, random_model, cache):
        model = tmp_path / "stored"
        for stored in (np.float32, np.float16):
            shutil.copytree(random_model, model, dirs_exist_ok=True)
            file = next((model / "vae").glob("*.safetensors"))
            arrays = read_safetensors(file)
            write_safetensors(file, {name: array.astype(stored) for name, array in arrays.items()})
            plain, _ = decoded(model, cache=False)
            value, is_prepared = decoded(model)
            assert is_prepared
            np.testing.assert_array_equal(value, plain)


class TestKept:
    def test_small_networks_are_not(self, random_model, cache, monkeypatch):
        monkeypatch.undo()
        monkeypatch.setenv("LATENTRT_CACHE", str(cache.root.parent))
        assert not decoded(random_model)[1]
        assert not cache.root.exists()

    def test_nothing_where_it_is_off(self, random_model, cache, monkeypatch):
        monkeypatch.setenv("LATENTRT_CACHE", "off")
        assert not decoded(random_model)[1]
        assert not cache.root.exists()

    def test_it_is_told_once(self, random_model, cache, capsys):
        decoded(random_model)
        assert "latentrt: preparing vae_decoder, 0.0 GB in " in capsys.readouterr().err
        decoded(random_model)
        assert capsys.readouterr().err == ""

    def test_the_folder_is_the_users_alone(self, random_model, cache):
        decoded(random_model)
        assert cache.root.stat().st_mode & 0o077 == 0

    def test_the_key_knows_file_variant_and_order(self, tmp_path, random_model, monkeypatch):
        component = open_model(random_model).components["vae_decoder"]

        def key(variant=None, saved=True, component=component):
            variant = Variant() if variant is None else variant
            return key_of("vae_decoder", component.graph(variant), variant, component.weights, saved)

        keys = [
            key(),
            key(saved=False),
            key(Variant("fp16")),
            key(Variant(norms="told")),
            key(Variant("int8")),
        ]
        monkeypatch.setattr(keying, "FORM", keying.FORM + 1)
        keys.append(key(Variant("int8")))
        copy = tmp_path / "copy"
        shutil.copytree(random_model, copy)
        keys.append(key(component=open_model(copy).components["vae_decoder"]))
        file = next((copy / "vae").glob("*.safetensors"))
        status = file.stat()
        changed = {name: array * 2 for name, array in read_safetensors(file).items()}
        write_safetensors(file, changed)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        keys.append(key(component=open_model(copy).components["vae_decoder"]))
        assert len(set(keys)) == len(keys)
        assert key() == keys[0]

    def test_a_source_that_changes_is_prepared_anew(self, tmp_path, random_model, cache):
        model = tmp_path / "model"
        shutil.copytree(random_model, model)
        decoded(model)
        file = next((model / "vae").glob("*.safetensors"))
        write_safetensors(
            file, {name: array * np.float16(1.5) for name, array in read_safetensors(file).items()}
        )
        value, is_prepared = decoded(model)
        assert is_prepared
        np.testing.assert_array_equal(value, decoded(model, cache=False)[0])
        assert len(cache.kept()) == 2


class TestDamage:
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("model.data", lambda path: os.truncate(path, path.stat().st_size // 2)),
            ("model.data", lambda path: path.write_bytes(bytes(path.stat().st_size))),
            ("model.data", Path.unlink),
            ("model.onnx", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?")),
            ("model.onnx", Path.unlink),
            ("entry.json", REMOVED),
            ("entry.json", lambda path: path.write_text(path.read_text()[:40])),
            ("entry.json", lambda path: path.write_text('{"format": 1}')),
        ],
    )
    def test_what_is_damaged_is_made_anew(self, random_model, cache, expected, name, change):
        decoded(random_model)
        changed = only(cache) / name
        change(changed)
        told = pytest.warns(NotPrepared, match="is damaged, and removed")
        with told if not (name == "entry.json" and change is REMOVED) else contextlib.nullcontext():
            value, is_prepared = decoded(random_model)
        assert is_prepared
        np.testing.assert_array_equal(value, expected)

    def test_what_onnxruntime_refuses_is_made_anew(self, random_model, cache, expected):
        decoded(random_model)
        kept = only(cache)
        (kept / "model.onnx").write_bytes(b"no model")
        said = json.loads((kept / "entry.json").read_text())
        said["graph"] = entries.hashlib.sha256(b"no model").hexdigest()
        (kept / "entry.json").write_text(json.dumps(said))
        with pytest.warns(NotPrepared, match="is damaged, and removed"):
            value, is_prepared = decoded(random_model)
        assert is_prepared
        np.testing.assert_array_equal(value, expected)

    def test_what_is_mapped_may_be_removed(self, random_model, cache, expected):
        made = place("cpu", cache=True).runner(open_model(random_model).components["vae_decoder"])
        for _ in range(2):
            np.testing.assert_array_equal(made.run({"latent_sample": LATENTS})["sample"], expected)
            cache.prune(0)
            assert cache.kept() == []
        made.close()

    def test_what_gives_other_values_is_not_kept(self, random_model, cache, expected, monkeypatch):
        once, runs = making._run_once, []

        def run(*args):
            runs.append(args)
            return [value + np.float32(1e-6) * len(runs) for value in once(*args)]

        monkeypatch.setattr(making, "_run_once", run)
        with pytest.warns(NotPrepared, match="gives other values than what it was made of"):
            value, is_prepared = decoded(random_model)
        assert not is_prepared
        np.testing.assert_array_equal(value, expected)
        assert hidden(cache) == []
        assert cache.kept() == []


class TestNoFolder:
    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX's")
    def test_one_that_others_may_write_is_not_used(self, random_model, cache, expected):
        decoded(random_model)
        cache.root.chmod(0o777)
        with pytest.warns(NotPrepared, match="others may write there"):
            value, is_prepared = decoded(random_model)
        assert not is_prepared
        np.testing.assert_array_equal(value, expected)
        assert cache.kept() == []

    def test_a_file_in_its_place(self, random_model, cache, expected):
        cache.root.parent.mkdir()
        cache.root.write_text("")
        with pytest.warns(NotPrepared, match="is no folder"):
            value, is_prepared = decoded(random_model)
        assert not is_prepared
        np.testing.assert_array_equal(value, expected)

    def test_no_room_on_the_disk(self, random_model, cache, expected, monkeypatch):
        monkeypatch.setattr(folder.shutil, "disk_usage", lambda path: Usage(10**9))
        with pytest.warns(NotPrepared, match=r"GB while it is made, and 1\.0 GB are free") as told:
            for _ in range(2):
                value, is_prepared = decoded(random_model)
                assert not is_prepared
                np.testing.assert_array_equal(value, expected)
        assert len(told) == 1

    def test_larger_than_allowed(self, random_model, cache, monkeypatch):
        monkeypatch.setenv("LATENTRT_CACHE_SIZE", "1MB")
        with pytest.warns(NotPrepared, match=r"LATENTRT_CACHE_SIZE allows 0\.0 GB"):
            assert not decoded(random_model)[1]

    @pytest.mark.parametrize("where", ["write_widened", "write_manifest"])
    def test_a_disk_that_is_full_meanwhile(self, random_model, cache, expected, monkeypatch, where):
        def full(*args, **options):
            raise OSError(28, "No space left on device", "model.data")

        monkeypatch.setattr(making, where, full)
        with pytest.warns(NotPrepared, match=r"is not prepared: model\.data: No space left on device"):
            value, is_prepared = decoded(random_model)
        assert not is_prepared
        np.testing.assert_array_equal(value, expected)
        assert hidden(cache) == []

    def test_weights_that_were_not_written_whole(self, random_model, cache, monkeypatch):
        check = optimised.check_size

        def cut(model, data):
            os.truncate(data, data.stat().st_size - 1)
            check(model, data)

        monkeypatch.setattr(optimised, "check_size", cut)
        with pytest.warns(NotPrepared, match=r"\d+ bytes were written of \d+"):
            assert not decoded(random_model)[1]

    def test_an_interrupt_leaves_nothing(self, random_model, cache, monkeypatch):
        def interrupted(*args, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(making, "_run_once", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoded(random_model)
        assert list(cache.root.iterdir()) == []


class Usage:
    """What `shutil.disk_usage` gives, as far as it is read."""

    def __init__(self, free: int) -> None:
        self.free = free


class TestProcesses:
    def start(self, random_model):
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(random_model)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_two_at_once(self, random_model, cache, expected):
        both = [self.start(random_model) for _ in range(2)]
        for one in both:
            out, err = one.communicate()
            assert one.returncode == 0, err
            assert out.strip() == expected.tobytes().hex()
        assert len(cache.kept()) == 1
        assert hidden(cache) == []

    def test_killed_while_it_makes(self, random_model, cache, expected):
        rng = np.random.default_rng()
        for _ in range(3):
            process = self.start(random_model)
            while not (cache.root.exists() and hidden(cache)) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
            process.communicate()
            for kept in cache.kept():
                cache.remove(kept.key)
        value, is_prepared = decoded(random_model)
        assert is_prepared
        np.testing.assert_array_equal(value, expected)
        assert hidden(cache) == []


class TestFolder:
    def test_what_was_used_least_recently_goes_first(self, random_model, cache):
        for name in ("vae_decoder", "vae_encoder"):
            decoded(random_model, name=name, feeds=None if name == "vae_decoder" else PIXELS)
        for kept in cache.kept():
            os.utime(cache.root / kept.key / "entry.json", (1, 1))
        decoded(random_model)
        assert [kept.component for kept in cache.kept()] == ["vae_decoder", "vae_encoder"]
        (cache.root / ("0" * 40)).mkdir()  # without a manifest: what was being removed
        (removed,) = cache.prune(cache.size() - 1)
        assert removed.component == "vae_encoder"
        assert [path.name for path in cache.root.iterdir()] == [cache.kept()[0].key]

    def test_room_is_made_of_what_was_used_least_recently(self, random_model, cache, monkeypatch):
        decoded(random_model)
        monkeypatch.setenv("LATENTRT_CACHE_SIZE", str(cache.size() + 500_000))
        decoded(random_model, name="vae_encoder", feeds=PIXELS)
        assert [kept.component for kept in cache.kept()] == ["vae_encoder"]

    @pytest.mark.parametrize("size", ["a lot", "-1", "1e9", "GB", "1 KB", "٣GB"])
    def test_a_size_that_is_none(self, size):
        with pytest.raises(InputError, match="LATENTRT_CACHE_SIZE: expected a size as 30GB or 500MB"):
            cache_here({"LATENTRT_CACHE_SIZE": size})

    def test_sizes_and_folders(self, tmp_path):
        here = cache_here({"LATENTRT_CACHE": str(tmp_path), "LATENTRT_CACHE_SIZE": "1.5 gb"})
        assert here == Cache(tmp_path / "prepared", 1_500_000_000)
        assert cache_here({"LATENTRT_CACHE": "OFF"}) is None
        default = cache_here({})
        assert default is not None
        assert default.root.parent.name == "latentrt"


def test_what_is_saved_is_in_our_order_and_tells_its_shapes(random_model, cache):
    """Nodes that ONNX Runtime put in place of ours too, as the shortcut that comes before what it is added to."""
    decoded(random_model)
    saved = ModelProto.FromString((only(cache) / "model.onnx").read_bytes()).graph
    graph = open_model(random_model).components["vae_decoder"].graph(Variant("fp32", fused_attention=True))
    ours = {node.output[0]: index for index, node in enumerate(graph.proto.graph.node)}
    names = [node.name.removesuffix("_nchwc") for node in saved.node if node.op_type == "Conv"]
    assert len(names) == sum(node.op_type == "Conv" for node in graph.proto.graph.node)
    assert [ours[name] for name in names] == sorted(ours[name] for name in names)
    sizes = {"batch": 1, "height": 5, "width": 6}
    tensors = infer(graph, {"latent_sample": (1, 4, 5, 6)}).tensors
    told = {value.name: value.type.tensor_type.shape.dim for value in saved.value_info}
    assert "decoder.conv_norm_out/InstanceNormalization" in told
    known: dict[str, int] = dict(
        sizes
    )  # what a side that is free stands for is one number wherever it stands
    for name, dims in told.items():
        for dim, size in zip(dims, tensors[name].shape, strict=True):
            assert (known.setdefault(dim.dim_param, size) if dim.dim_param else dim.dim_value) == size


@pytest.mark.parametrize("low_memory", [False, True])
def test_integers_are_kept_too(random_model, cache, monkeypatch, low_memory):
    """As ONNX Runtime has packed them; with `low_memory` under our graph."""
    options = {"dtype": "int8", "low_memory": low_memory}
    expected, _ = decoded(random_model, cache=False, **options)
    value, is_prepared = decoded(random_model, **options)
    assert is_prepared
    np.testing.assert_array_equal(value, expected)
    assert json.loads((only(cache) / "entry.json").read_text())["optimised"] is not low_memory

    def quantises(*args):
        raise AssertionError("they were made anew")

    monkeypatch.setattr(sessions, "in_integers", quantises)
    value, is_prepared = decoded(random_model, **options)
    assert is_prepared
    np.testing.assert_array_equal(value, expected)


def test_a_network_in_integers_is_kept_whose_weights_fix_sides_that_its_graph_leaves_open(random_xl, cache):
    """SDXL's: how wide its text is, and how many sizes it is told."""
    unet = open_model(random_xl).components["unet"]
    sizes = {"batch": 2, "height": 8, "width": 8, "sequence": 7, "text_width": 48, "time_ids": 6}
    rng = np.random.default_rng(0)
    feeds = {
        name: rng.standard_normal([sizes.get(side, side) for side in value.shape]).astype(np.float32)
        for name, value in inputs_of(unet, "int8").items()
    }
    expected, _ = decoded(random_xl, cache=False, name="unet", feeds=feeds, dtype="int8")
    for _ in range(2):
        value, is_prepared = decoded(random_xl, name="unet", feeds=feeds, dtype="int8")
        assert is_prepared
        np.testing.assert_array_equal(value, expected)


def test_memory_of_integers_that_are_kept_is_predicted_less(random_model, cache):
    networks = Networks(open_model(random_model), place("cpu", "int8", cache=True))
    plain = Networks(open_model(random_model), place("cpu", "int8"))
    shapes = {"latent_sample": LATENTS.shape}
    call, without = Call(networks.runners["vae_decoder"], shapes), Call(plain.runners["vae_decoder"], shapes)
    assert call.weights < without.weights
    assert call.loading(low_memory=False) > without.loading(low_memory=False)
    decoded(random_model, dtype="int8")
    assert call.loading(low_memory=False) < without.loading(low_memory=False)


def test_memory_is_predicted_less(random_model, cache):
    networks = Networks(open_model(random_model), place("cpu", cache=True))
    plain = Networks(open_model(random_model), place("cpu"))
    shapes = {"latent_sample": LATENTS.shape}
    before, without = (
        Call(networks.runners["vae_decoder"], shapes),
        Call(plain.runners["vae_decoder"], shapes),
    )
    assert before.weights < without.weights
    loading = before.loading(low_memory=False)
    decoded(random_model)
    after = Call(networks.runners["vae_decoder"], shapes)
    assert after.weights == before.weights
    assert after.loading(low_memory=False) < loading
