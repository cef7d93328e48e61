"""Models of a hub, by a server on the loopback interface: what is downloaded, what the cache gives, what is said."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import Hub, files_of, serving
from huggingface_hub import constants

from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.hub import fetch
from latentrt.models.hub_names import HubName, hub_name
from latentrt.models.locate import locate, name_of
from latentrt.models.safetensors import safetensors_header
from latentrt.pictures.images import read_parameters

WEIGHTS = [
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
]
REPO = "some-org/a.model"
OTHERS = (
    "README.md", ".gitattributes", "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors",
    "safety_checker/model.safetensors", "safety_checker/config.json", "model.ckpt", "all.safetensors",
    "unet/notes.txt", "tokenizer/notes.txt",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server with nothing in it, and an empty cache; huggingface_hub reads its variables once, when imported."""
    server.repos.clear()
    server.refused.clear()
    server.asked.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    huggingface_hub.close_session()


def tensors(size: int = 4) -> bytes:
    return safetensors_header({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}) + bytes(
        size
    )


@pytest.fixture(scope="module")
def configs() -> dict[str, bytes]:
    return {
        name: data
        for name, data in files_of(open_model("demo").root).items()
        if name.endswith((".json", ".txt"))
    }


@pytest.fixture
def model(configs: dict[str, bytes]) -> dict[str, bytes]:
    """A repository as people publish them: with pickles, other weights, pictures and text beside."""
    weights = {
        name: tensors(size) for size, name in enumerate(WEIGHTS, 4)
    }  # equal ones would be one in the cache
    return {**configs, **weights, **dict.fromkeys(OTHERS, b"not to be read")}


NEEDED = {
    "model_index.json", "generation_config.json", "scheduler/scheduler_config.json", "text_encoder/config.json",
    "unet/config.json", "vae/config.json", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json", *WEIGHTS,
}  # fmt: skip


def test_only_what_is_needed_is_downloaded_and_told(hub, model, tmp_path, capsys):
    commit = hub.add(REPO, model)
    located = locate(REPO)
    assert located.name == REPO
    assert located.path == tmp_path / "cache/models--some-org--a.model/snapshots" / commit
    assert set(files_of(located.path)) == NEEDED == set(hub.downloaded())
    assert hub.downloaded()[-3:] == WEIGHTS  # what has them has the rest
    said = capsys.readouterr()
    assert said.out == ""
    assert f"latentrt: {REPO}: downloading 11 files, " in said.err
    assert f" kB, from {hub.endpoint} into {tmp_path / 'cache'}\n" in said.err
    assert "%" not in said.err  # no bars, as this is no terminal
    assert all(agent.startswith("latentrt/") and "torch" not in agent for agent in hub.agents)
    opened = open_model(REPO)
    assert (opened.name, opened.root) == (REPO, located.path)
    assert opened.components["unet"].weights.num_bytes == 5


def test_what_is_in_the_cache_needs_no_network(hub, model, monkeypatch, capsys):
    hub.add(REPO, model)
    path = locate(REPO).path
    hub.asked.clear()
    capsys.readouterr()
    assert locate(REPO).path == path
    assert (hub.asked, capsys.readouterr().err) == ([], "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate(REPO).path == path
    assert locate(f"{REPO}@{path.name}").path == path


def test_what_the_cache_lacks_is_downloaded_and_that_alone(hub, model, monkeypatch):
    hub.add(REPO, model)
    path = locate(REPO).path
    for name in ("vae/diffusion_pytorch_model.safetensors", "unet/config.json"):
        link = path / name
        link.resolve().unlink()
        link.unlink()
        with monkeypatch.context() as offline:
            offline.setattr(constants, "HF_HUB_OFFLINE", True)
            with pytest.raises(
                ModelError, match=rf"^{REPO}: no such folder, and not \(whole\) in .*HF_HUB_OFFLINE is set"
            ):
                locate(REPO)
        hub.asked.clear()
        assert locate(REPO).path == path
        assert [name for name in hub.downloaded() if name in WEIGHTS or "config" in name] == [name]


def test_a_variant_that_is_cached_whole_is_enough(hub, model, tmp_path):
    """As `from_pretrained(variant="fp16")` leaves it."""
    hub.add(REPO, model)
    for name in NEEDED - set(WEIGHTS):
        huggingface_hub.hf_hub_download(REPO, name)
    for name in WEIGHTS:
        variant = name.replace(".safetensors", ".fp16.safetensors")
        model[variant] = tensors(len(variant))
    hub.add(REPO, model)
    for name in (*NEEDED - set(WEIGHTS), *(name.replace(".saf", ".fp16.saf") for name in WEIGHTS)):
        huggingface_hub.hf_hub_download(REPO, name)
    hub.asked.clear()
    unet = open_model(REPO).components["unet"]
    assert [file.name for file in unet.weights.files] == ["diffusion_pytorch_model.fp16.safetensors"]
    assert hub.asked == []


def test_revisions(hub, model, monkeypatch):
    main = hub.add(REPO, model)
    other = hub.add(REPO, {**model, "generation_config.json": b'{"width": 64}'}, "refs/pr/1")
    assert locate(REPO).path.name == main
    found = locate(f"{REPO}@refs/pr/1")
    assert (found.path.name, found.name) == (other, REPO)
    assert open_model(f"{REPO}@{other}").defaults == {"width": 64}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert (locate(REPO).path.name, locate(f"{REPO}@refs/pr/1").path.name) == (main, other)


def test_shards_and_variants_alone(hub, model):
    shards = [f"unet/diffusion_pytorch_model.fp16-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = "unet/diffusion_pytorch_model.fp16.safetensors.index.json"
    del (
        model["unet/diffusion_pytorch_model.safetensors"],
        model["unet/diffusion_pytorch_model.fp16.safetensors"],
    )
    model |= {name: tensors(size) for size, name in enumerate(shards, 10)}
    model[index] = json.dumps(
        {"weight_map": dict(zip("ab", (Path(name).name for name in shards), strict=True))}
    ).encode()
    hub.add(REPO, model)
    root = locate(REPO).path
    assert set(files_of(root)) == (NEEDED - {"unet/diffusion_pytorch_model.safetensors"}) | {index, *shards}
    assert open_model(REPO).components["unet"].weights_note == "the .fp16. variant, there is no other"
    hub.asked.clear()
    (root / shards[1]).unlink()
    locate(REPO)
    assert hub.downloaded() in ([shards[1]], [])  # its bytes are in the cache
    assert (root / shards[1]).exists()
    hub.add("other/one", {name: data for name, data in model.items() if name != shards[1]})
    with pytest.raises(ModelError, match=f"other/one: its weights are not whole: it lacks {shards[1]}"):
        locate("other/one")


def test_pickles_are_never_downloaded(hub, model):
    for name in WEIGHTS:
        del model[name]
    del model["unet/diffusion_pytorch_model.fp16.safetensors"]
    hub.add(REPO, model)
    with pytest.raises(
        ModelError, match="it lacks safetensors in text_encoder, safetensors in unet, safetensors in vae"
    ):
        locate(REPO)
    assert hub.downloaded() == ["model_index.json"]
    hub.add("a/pickle", {"model.ckpt": b"x", "README.md": b""})
    with pytest.raises(
        ModelError, match="a/pickle: holds neither a model_index.json nor safetensors; it has model.ckpt"
    ):
        locate("a/pickle")


def test_other_kinds_are_refused_before_they_are_downloaded(hub, model):
    model["model_index.json"] = b'{"_class_name": "FluxPipeline"}'
    hub.add(REPO, model)
    with pytest.raises(ModelError, match=f"{REPO}: is a model of another kind"):
        locate(REPO)
    assert hub.downloaded() == ["model_index.json"]


class TestSingleFiles:
    def test_one_is_taken_and_told(self, hub, capsys, monkeypatch):
        hub.add(
            REPO,
            {"v1.safetensors": tensors(), "v1.yaml": b"model:", "README.md": b"", "vae/x.safetensors": b""},
        )
        path = fetch(HubName(REPO))
        assert (path.name, name_of(path)) == ("v1.safetensors", f"{REPO}/v1.safetensors")
        assert set(files_of(path.parent)) == {"v1.safetensors", "v1.yaml"}
        assert f"{REPO}: its one checkpoint, v1.safetensors, is taken" in capsys.readouterr().err
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert fetch(HubName(REPO)) == fetch(HubName(REPO, "v1.safetensors")) == path
        assert "v1.safetensors is taken, the one checkpoint of it in the cache" in capsys.readouterr().err

    def test_several_are_listed(self, hub, monkeypatch):
        hub.add(REPO, {"a.safetensors": tensors(), "b.safetensors": tensors(5_000_000)})
        listed = rf"give one of {REPO}/a\.safetensors \(0 kB\), {REPO}/b\.safetensors \(5 MB\)"
        with pytest.raises(ModelError, match=listed):
            fetch(HubName(REPO))
        assert fetch(HubName(REPO, "a.safetensors")).read_bytes() == tensors()
        with pytest.raises(ModelError, match=listed):  # also with one of them in the cache
            fetch(HubName(REPO))

    def test_a_file_beside_a_folder_and_one_that_is_not_there(self, hub, model):
        hub.add(REPO, {**model, "sub/all.safetensors": tensors()})
        assert fetch(HubName(REPO, "sub/all.safetensors")).read_bytes() == tensors()
        with pytest.raises(ModelError, match=rf"{REPO}: has no c\.safetensors; it has .*all\.safetensors"):
            fetch(HubName(REPO, "c.safetensors"))


class TestWhatIsSaid:
    def test_no_such_model(self, hub):
        with pytest.raises(
            ModelError, match=rf"^a/b: no such folder, and no such model at {hub.endpoint} \(404\).*HF_TOKEN"
        ):
            locate("a/b")

    def test_no_such_revision(self, hub, model):
        hub.add(REPO, model)
        with pytest.raises(
            ModelError, match=rf"has no revision v9 \(404\); {hub.endpoint}/{REPO} lists them"
        ):
            locate(f"{REPO}@v9")

    def test_gated(self, hub, model, monkeypatch):
        hub.add(REPO, model)
        hub.refused[REPO] = (403, "GatedRepo")
        with pytest.raises(
            ModelError, match=rf"is gated \(403\): accept its terms at {hub.endpoint}/{REPO}.*HF_TOKEN"
        ):
            locate(REPO)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        assert locate(REPO).name == REPO

    def test_no_network(self, hub, monkeypatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(
            ModelError, match=r"not to be had from http://127\.0\.0\.1:9: .*HF_ENDPOINT.*HF_HOME"
        ):
            locate(REPO)

    def test_a_server_that_is_none(self, hub):
        hub.refused[REPO] = (500, "")
        with pytest.raises(ModelError, match=rf"{hub.endpoint} refuses it \(500\)"):
            locate(REPO)

    def test_no_room(self, hub, model, monkeypatch):
        hub.add(REPO, model)
        usage = type("Usage", (), {"free": 20_000})
        monkeypatch.setattr("latentrt.models.hub.shutil.disk_usage", lambda path: usage)
        with pytest.raises(
            ModelError, match="where 20 kB are free; make room, or set HF_HOME to another disk"
        ):
            locate(REPO)
        assert hub.downloaded() == ["model_index.json"]

    def test_a_name_that_the_hub_cannot_have(self, hub):
        with pytest.raises(ModelError, match="no name that a model of the hub can have"):
            locate("a..b/c")


def test_a_folder_of_that_name_wins(hub, model, tmp_path):
    hub.add(REPO, model)
    for name, data in model.items():
        (tmp_path / REPO / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / REPO / name).write_bytes(data)
    assert (locate(REPO).path, locate(REPO).name) == (Path(REPO), "a.model")
    assert hub.asked == []


def test_the_caches_own_folders_are_told_by_the_hubs_name(hub, model, tmp_path):
    hub.add(REPO, model)
    snapshot = locate(REPO).path
    folder = snapshot.parent.parent
    (tmp_path / "link").symlink_to(snapshot)
    for given in (folder, snapshot, tmp_path / "link", str(folder)):
        assert locate(given).path.resolve() == snapshot
        assert locate(given).name == name_of(given) == REPO
    (folder / "refs" / "main").unlink()
    assert locate(folder).path == snapshot  # there is one
    (folder / "snapshots" / ("0" * 40)).mkdir()
    with pytest.raises(ModelError, match="holds 2 snapshots and no refs/main"):
        locate(folder)
    (folder / "refs" / "main").write_text("1" * 40)
    with pytest.raises(
        ModelError, match=f"a folder of the hub's cache, with no snapshot.*give {REPO} to download it"
    ):
        locate(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("org/name", HubName("org/name")),
        ("org/name@v1.0", HubName("org/name", None, "v1.0")),
        ("org/name@refs/pr/1", HubName("org/name", None, "refs/pr/1")),
        ("org/name/a b.safetensors", HubName("org/name", "a b.safetensors")),
        ("org/name/sub/a.safetensors@main", HubName("org/name", "sub/a.safetensors", "main")),
        *((name, None) for name in (
            "org", "demo", "org/name/sub", "/org/name", "./org/name", "../name", "~/name", "org/..", "org/name@",
            "org//name", "org/name/../a.safetensors", "org/name@../x", "org\\name", "org/name/a.ckpt",
            "C:/models", "org/na me", "",
        )),
    ],
)  # fmt: skip
def test_names(name, expected):
    assert hub_name(name) == expected


def run(hub: Hub, home: Path, *words: str, **more: str) -> "subprocess.Popen[str]":
    left_out = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_DISABLE_TELEMETRY")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": hub.endpoint, **more}
    command = [sys.executable, "-m", "latentrt", *words]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_picture_of_a_hubs_model(hub, tmp_path):
    hub.add(REPO, files_of(open_model("demo").root))
    words = [
        "generate",
        "a red heart",
        "--model",
        REPO,
        "--steps",
        "1",
        "--size",
        "64x64",
        "--device",
        "cpu",
        "--out",
        "a.png",
    ]
    with run(hub, tmp_path / "home", *words) as made:
        error = made.stderr.read()
        assert made.wait() == 0, error
    assert f"latentrt: {REPO}: downloading " in error
    assert f"Model: {REPO}" in str(read_parameters(Path("a.png")))
    again = [*words[:1], "--from", "a.png", *words[2:4], "--device", "cpu", "--out", "b.png"]
    with run(hub, tmp_path / "home", *again, HF_HUB_OFFLINE="1") as made:
        error = made.stderr.read()
        assert made.wait() == 0, error
    assert "warning" not in error
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_ctrl_c_in_a_download_leaves_nothing_half(hub, model, tmp_path):
    model["unet/diffusion_pytorch_model.safetensors"] = tensors(1_000_000)
    hub.add(REPO, model)
    hub.stalls.add("unet/diffusion_pytorch_model.safetensors")
    hub.resume.clear()
    with run(hub, tmp_path / "home", "info", REPO, "--json") as asked:
        assert hub.stalled.wait(60)
        asked.send_signal(signal.SIGINT)
        error = asked.stderr.read()
        assert asked.wait() == 130, error
    names = [path.name for path in (tmp_path / "home").rglob("*")]
    assert not [name for name in names if "incomplete" in name]
    assert error.splitlines()[-1] == "latentrt: interrupted"
    assert "Traceback" not in error
    hub.resume.set()
    with run(hub, tmp_path / "home", "info", REPO, "--json") as asked:
        assert json.loads(asked.stdout.read())["name"] == REPO
        assert asked.wait() == 0
    hub.stalls.clear()


def test_without_network_the_exit_code_is_1(hub, tmp_path):
    with run(hub, tmp_path / "home", "info", REPO, HF_HUB_OFFLINE="1") as asked:
        error = asked.stderr.read()
        assert asked.wait() == 1
    assert error.count("\n") == 1
    assert f"latentrt: error: {REPO}: no such folder" in error
