"""Peers: stand-ins, installed from a folder of tiny wheels; the real ones take minutes and gigabytes."""

import argparse
import ast
import json
import math
import subprocess
import sys
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import latentrt
from latentrt.errors import InputError
from latentrt.models.bundle import open_model
from latentrt.networks import Variant
from latentrt.samplers import resolve
from latentrt.text.tokenizer import load_tokenizer
from latentrt_bench.measuring.process import Job, Process
from latentrt_bench.peers import command, environment, sd15
from latentrt_bench.peers.catalogue import ENVIRONMENTS, MATERIALS, PEERS, Environment, Material, Peer
from latentrt_bench.peers.environment import MARKER, PreparationError, make_environment, run_logged
from latentrt_bench.peers.materials import SCHEDULER, alone_in, make_checkpoint, make_material, model_source
from latentrt_bench.peers.pictures import difference
from latentrt_bench.peers.race import RUNNERS, Catalogue
from latentrt_bench.report import read_report

STAND_IN = Path(__file__).with_name("stand_in_peer.py")
ENVIRONMENT = Environment(("tinypeer==1.2.3", "Dashed-peer==2.0", "ballast==4.0"), removed=("ballast",))
PACKAGES = {"tinypeer": "1.2.3", "dashed-peer": "2.0"}


def wheel(folder: Path, name: str, version: str, source: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", source)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module", autouse=True)
def index(tmp_path_factory):
    """A folder of wheels in place of the package index."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "tinypeer", "1.2.3", "VALUE = 42\n" + "#" * 100_000)
    wheel(folder, "dashed_peer", "2.0", "")  # as its makers write it; asked for as people do
    wheel(folder, "ballast", "4.0", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def made(folder):
    return make_environment("tiny", ENVIRONMENT, folder / "environments")


def test_an_environment_has_what_was_asked_for_and_nothing_of_ours(made):
    assert made.packages == PACKAGES
    assert 100_000 < made.installed_bytes < 200_000  # not pip's megabytes
    seen = subprocess.run(
        [made.python, "-c", "import tinypeer, sys; print(tinypeer.VALUE, sys.prefix)\nimport numpy"],
        capture_output=True,
        text=True,
        env=environment.clean_environment(),
    )
    assert seen.stdout.split() == ["42", str(made.python.parents[1])]
    assert "No module named 'numpy'" in seen.stderr


def test_an_environment_is_used_again(made, folder, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("nothing is to be installed")

    monkeypatch.setattr(environment, "run_logged", never)
    assert make_environment("tiny", ENVIRONMENT, folder / "environments") == made


def test_a_half_made_environment_is_made_anew(made, folder):
    home = made.python.parents[1]
    (home / MARKER).unlink()
    (home / "left-over").write_text("x")
    assert make_environment("tiny", ENVIRONMENT, folder / "environments") == made
    assert not (home / "left-over").exists()


def test_other_requirements_are_another_environment(made):
    keys = {environment._key(e, e.requirements) for e in (
        ENVIRONMENT, replace(ENVIRONMENT, removed=()), replace(ENVIRONMENT, requirements=("tinypeer==1.2.4",))
    )}  # fmt: skip
    assert len(keys) == 3 and made.key in keys


def test_what_cannot_be_installed_leaves_the_log_alone(tmp_path):
    with pytest.raises(PreparationError) as caught:
        make_environment("none", Environment(("nosuchpeer==9.9",)), tmp_path)
    log = tmp_path / "none.log"
    assert str(caught.value).endswith(f"see {log}")
    assert "No matching distribution found for nosuchpeer==9.9" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["none.log"]
    assert "install nosuchpeer==9.9" in log.read_text()


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99.25)'])"
    started = time.perf_counter()
    with pytest.raises(PreparationError, match=r"pip: given up after 2 s; see .*log"):
        run_logged([sys.executable, "-c", child], tmp_path / "log", 2.0, "pip")
    assert time.perf_counter() - started < 30
    for process in psutil.process_iter(["cmdline"]):
        assert (
            "time.sleep(99.25)" not in " ".join(process.info["cmdline"] or []) or process.status() == "zombie"
        )


def test_last_lines_are_the_errors():
    said = "Collecting x\nERROR: first\n  noise\nERROR: second\nfarewell\n"
    assert environment.last_lines(said) == "ERROR: first ERROR: second"
    assert environment.last_lines("a\n\nb\n") == "a b"
    assert environment.last_lines("") == "it said nothing"


def test_latentrt_is_installed_from_its_own_tree():
    root = environment.source_tree()
    assert root is not None and (root / "runtime" / "latentrt" / "__init__.py").samefile(latentrt.__file__)
    assert environment._resolve("latentrt[cpu]") == f"latentrt[cpu] @ {root.as_uri()}"
    assert environment._resolve("torch==2.13.0") == "torch==2.13.0"


def test_catalogue_names_exact_versions_and_what_exists():
    for made_of in ENVIRONMENTS.values():
        for requirement in made_of.requirements:
            assert requirement.startswith("latentrt[") or requirement.count("==") == 1, requirement
    for made_of in ENVIRONMENTS.values():  # an unpinned torch would be replaced by another build
        needs_torch = any(
            r.startswith(("diffusers", "optimum", "latentrt[cpu,export]")) for r in made_of.requirements
        )
        assert not needs_torch or "torch==2.13.0" in made_of.requirements
    assert {material.environment for material in MATERIALS.values()} <= set(ENVIRONMENTS)
    for peer in PEERS.values():
        assert peer.environment in ENVIRONMENTS
        assert peer.material is None or peer.material in MATERIALS
        file, name = peer.runner.split(":")
        classes = [n for n in ast.parse((RUNNERS / file).read_text()).body if isinstance(n, ast.ClassDef)]
        (runner,) = [node for node in classes if node.name == name]
        methods = {node.name: node for node in runner.body if isinstance(node, ast.FunctionDef)}
        assert {"__init__", "paint", "save"} <= set(methods)
        arguments = [argument.arg for argument in methods["__init__"].args.args]
        assert arguments == ["self", "model", "work", *peer.options]
    assert next(iter(PEERS)) == "diffusers-fp32"  # what pictures are held against


def test_a_recipe_is_measured_where_there_are_steps_enough():
    assert "latentrt-balanced" not in command.chosen(None, PEERS, 4)
    assert command.chosen(None, PEERS, 10) == list(PEERS)
    assert command.chosen(["latentrt-balanced", "latentrt"], PEERS, 9) == ["latentrt", "latentrt-balanced"]
    with pytest.raises(InputError, match="--steps: latentrt-balanced takes 9 or more, got 8"):
        command.chosen(["latentrt-balanced"], PEERS, 8)


def test_runners_import_nothing_of_ours():
    for path in RUNNERS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("latentrt_bench") for name in names)
            assert path.name == "run_latentrt.py" or not any(name.startswith("latentrt") for name in names)


pictures = st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3)).flatmap(
    lambda shape: st.tuples(arrays.arrays(np.uint8, shape), arrays.arrays(np.uint8, shape))
)


@given(pictures)
def test_difference_agrees_with_counting(pair):
    one, other = pair
    errors = [abs(int(a) - int(b)) for a, b in zip(one.ravel(), other.ravel(), strict=True)]
    found = difference(one, other)
    assert found["max"] == max(errors)
    assert found["mean"] == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    square = sum(e * e for e in errors) / len(errors)
    if square == 0:
        assert found["psnr_db"] is None
    else:
        assert found["psnr_db"] == pytest.approx(20 * math.log10(255) - 10 * math.log10(square), rel=1e-12)
    assert difference(other, one) == found


def test_pictures_of_two_sizes_have_no_difference():
    with pytest.raises(ValueError, match="expected a picture of"):
        difference(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8))


def test_the_checkpoint_is_the_model_with_one_scheduler_for_all(tmp_path):
    demo = open_model("demo").root
    checkpoint = make_checkpoint(demo, tmp_path)
    model = open_model(checkpoint)
    theirs = json.loads((demo / "scheduler" / "scheduler_config.json").read_text())
    trained = {key: theirs[key] for key in ("beta_start", "beta_end", "beta_schedule", "prediction_type")}
    # The last two are diffusers' own, set as it loads a folder; they change nothing of this schedule.
    assert model.scheduler_config == SCHEDULER | trained | {"steps_offset": 1, "clip_sample": False}
    assert model.scheduler_config["prediction_type"] == "v_prediction"
    assert model.index["scheduler"] == ["diffusers", "EulerDiscreteScheduler"]
    sampler = resolve(None, model.scheduler_config)
    assert [int(t) for t in sampler.schedule(4).timesteps] == [999, 666, 333, 0]
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (checkpoint / weights).samefile(demo / weights)
    assert make_checkpoint(demo, tmp_path) == checkpoint
    assert [path.name for path in checkpoint.parent.iterdir()] == ["checkpoint"]


def test_an_export_is_made_once_and_whole(made, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    code = "import pathlib, sys; pathlib.Path(sys.argv[2]).mkdir(); pathlib.Path(sys.argv[2], sys.argv[3]).touch()"
    good = Material("tiny", ("-c", code, "{model}", "{out}", "exported"))
    out = make_material("an export", good, made, checkpoint)
    assert out == tmp_path / f"an-export-{made.key}" and (out / "exported").is_file()
    broken = Material("tiny", ("-c", code + "; sys.exit('ERROR: no')", "{model}", "{out}", "exported"))
    assert make_material("an export", broken, made, checkpoint) == out  # not run again
    with pytest.raises(PreparationError, match="other: exit code 1: ERROR: no; see"):
        make_material("other", broken, made, checkpoint)
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint",
        out.name,
        "an-export.log",
        "other.log",
    }


def test_two_runs_do_not_share_a_folder(tmp_path):
    with alone_in(tmp_path / "kept"):
        with pytest.raises(InputError, match="in use by another `bench peers`"), alone_in(tmp_path / "kept"):
            pass
        with alone_in(tmp_path / "another"):
            pass
    with alone_in(tmp_path / "kept"):
        pass


def test_random_model_is_the_published_one(tmp_path, monkeypatch):
    written = {}

    def note(shapes, path, seed, dtype):
        assert dtype == "fp16"
        written[path.parent.name] = shapes
        path.touch()

    monkeypatch.setattr(sd15, "write_random_tensors", note)
    home = model_source("sd15", tmp_path, lambda message: None)
    millions = {name: sum(map(math.prod, shapes.values())) / 1e6 for name, shapes in written.items()}
    assert {name: round(value, 2) for name, value in millions.items()} == {
        "text_encoder": 123.06, "unet": 859.52, "vae": 83.65,
    }  # fmt: skip
    model = open_model(home)
    for component in model.components.values():
        assert component.graph(Variant()).parameters
    assert model.default_size == (512, 512)
    assert model_source("sd15", tmp_path, lambda message: pytest.fail("made twice")) == home


def test_random_model_spells_as_clip_does(tmp_path):
    """Single letters have CLIP's ids: start 49406, "a" as a word's end 320, and so on, end 49407 to the last."""
    sd15.write_tokenizer(tmp_path)
    tokenizer = load_tokenizer(tmp_path, 77)
    assert list(tokenizer.encode("a b c d").ids) == [49406, 320, 321, 322, 323] + [49407] * 72
    assert list(tokenizer.encode("").ids) == [49406] + [49407] * 76


def painter(name: str, journal: Path, grey: int, **options) -> dict:
    return {"grey": grey, "journal": str(journal), "name": name, **options}


@pytest.fixture
def catalogue(tmp_path):
    journal = tmp_path / "journal"
    copy = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"
    runner = f"{STAND_IN.name}:Painter"
    return Catalogue(
        peers={
            "reference": Peer("tiny", runner, "grey", options=painter("reference", journal, 100)),
            "near": Peer(
                "tiny", runner, "grey", "copy", painter("near", journal, 103, step_s=0.1), {"note": "said"}
            ),
            "absent": Peer("absent", runner, "grey", options=painter("absent", journal, 0)),
            "unexported": Peer("tiny", runner, "grey", "broken", painter("unexported", journal, 0)),
            "unloadable": Peer(
                "tiny", runner, "grey", options=painter("unloadable", journal, 0, fails="load")
            ),
            "breaking": Peer("tiny", runner, "grey", options=painter("breaking", journal, 0, at=2)),
        },
        environments={"tiny": ENVIRONMENT, "absent": Environment(("nosuchpeer==9.9",))},
        materials={
            "copy": Material("tiny", ("-c", copy, "{model}", "{out}")),
            "broken": Material(
                "tiny", ("-c", "raise SystemExit('ERROR: unknown layer')", "{model}", "{out}")
            ),
        },
        runners=STAND_IN.parent,
    )


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*words, "--quiet"])


def run(folder: Path, out: Path, catalogue: Catalogue, *words: str) -> int:
    asked = parsed(
        "--model", "demo", "--size", "64x32", "--steps", "3", "--envs", str(folder), "--out", str(out), *words
    )
    return command.run(asked, catalogue)


def test_the_whole_with_stand_ins(made, folder, tmp_path, catalogue, capsys):
    out = tmp_path / "peers.json"
    assert run(folder, out, catalogue, "--rounds", "2", "--pictures", "2") == 0
    report = read_report(out)
    assert report.benchmark == "peers" and report.complete
    rows = {row.name: row for row in report.rows}
    assert list(rows) == list(catalogue.peers)
    for name, step_s in (("reference", 0.05), ("near", 0.1)):
        parts = rows[name].measurements
        assert [len(calls) for calls in parts["picture"].rounds] == [2, 2]
        # Two between three steps, of two pictures.
        assert [len(calls) for calls in parts["step"].rounds] == [
            4,
            4,
        ]
        assert [len(calls) for calls in parts["first_picture"].rounds] == [1, 1]
        assert len(parts["first_picture"].warmup) == 1
        assert 3 * step_s <= parts["picture"].seconds < 3 * step_s + 0.2
        assert step_s <= parts["step"].seconds < step_s + 0.1
        assert parts["first_picture"].seconds > 3 * step_s
        assert parts["first_picture"].seconds > parts["picture"].seconds  # Python's start is in it
        assert {m.peak_rss_bytes for m in parts.values()} == {parts["step"].peak_rss_bytes}
        assert 1e6 < parts["step"].peak_rss_bytes < 1e8  # a Python without libraries, not ours with them
        assert rows[name].facts["versions"] == PACKAGES
        assert rows[name].facts["packages"] == PACKAGES
        assert rows[name].facts["installed_bytes"] == made.installed_bytes
        assert rows[name].facts["environment"]["requirements"] == list(ENVIRONMENT.requirements)
        assert rows[name].configuration == {"width": 64, "height": 32, "steps": 3, "guidance": 2.0}
    assert rows["near"].facts["precision"] == "grey"
    assert rows["near"].facts["note"] == "said" and rows["near"].facts["reads"] == "copy"
    assert rows["reference"].facts["picture"] == {"max": 0, "mean": 0.0, "psnr_db": None}
    near = rows["near"].facts["picture"]
    assert (near["max"], near["mean"]) == (3, 3.0)
    assert near["psnr_db"] == pytest.approx(20 * math.log10(255 / 3))
    reasons = {
        name: {(m.status, m.reason) for m in rows[name].measurements.values()}
        for name in ("absent", "unexported", "unloadable", "breaking")
    }
    for name, words in (
        ("absent", "No matching distribution found for nosuchpeer==9.9"),
        ("unexported", "ERROR: unknown layer"),
        ("unloadable", "ValueError: no such model here"),
        ("breaking", "RuntimeError: kernel broke"),
    ):
        ((status, reason),) = reasons[name]
        assert status == "failed" and words in reason, name
    assert "installed_bytes" not in rows["absent"].facts
    assert rows["unloadable"].facts["installed_bytes"] == made.installed_bytes
    assert report.derived["against"] == "reference"
    ratios = {entry["name"]: entry for entry in report.derived["rows"]}
    assert ratios["reference"]["picture_ratio"] == 1
    expected = rows["near"].measurements["step"].seconds / rows["reference"].measurements["step"].seconds
    assert ratios["near"]["step_ratio"] == expected
    # Turns: one picture each in the round that does not count, then three each; who broke is not asked again.
    journal = (tmp_path / "journal").read_text().split()
    turn = ["reference"] * 3 + ["near"] * 3
    assert journal == ["reference", "near", "breaking", *turn[:6], "breaking", *turn]
    assert any("no whole numbers" in warning for warning in report.warnings)  # 3 steps: 999, 499.5, 0
    printed = capsys.readouterr().out
    assert "nosuchpeer" in printed and max(map(len, printed.splitlines())) <= 100


def test_an_interrupt_keeps_what_was_finished(folder, made, tmp_path, catalogue, monkeypatch):
    out = tmp_path / "peers.json"

    def conduct(args, benchmark, settings, measure, derive):
        def tell(message):
            if message.startswith("round 2 of 3: near"):
                raise KeyboardInterrupt

        def interrupted(report, _):
            measure(report, tell)

        return real(args, benchmark, settings, interrupted, derive)

    real = command.conduct
    monkeypatch.setattr(command, "conduct", conduct)
    few = replace(catalogue, peers={name: catalogue.peers[name] for name in ("reference", "near")})
    assert run(folder, out, few, "--rounds", "3") == 130
    report = read_report(out)
    assert not report.complete
    counts = {row.name: len(row.measurements["picture"].rounds) for row in report.rows}
    assert counts == {"reference": 2, "near": 1}
    assert report.rows[1].facts["picture"]["max"] == 3


def test_a_slow_peer_has_one_round_and_a_hanging_one_none(folder, made, tmp_path, catalogue):
    slow, hanging = (
        replace(catalogue.peers["near"], options=painter(name, tmp_path / "journal", 103, step_s=step_s))
        for name, step_s in (("near", 1.0), ("absent", 60))
    )
    few = replace(
        catalogue, peers={"reference": catalogue.peers["reference"], "near": slow, "absent": hanging}
    )
    out = tmp_path / "peers.json"
    assert run(folder, out, few, "--rounds", "3", "--limit", "5") == 0
    rows = {row.name: row for row in read_report(out).rows}
    assert len(rows["near"].measurements["picture"].rounds) == 1  # two pictures of 3 s are more than 5 s
    assert rows["near"].measurements["picture"].status == "measured"
    assert rows["near"].facts["picture"]["max"] == 3
    assert len(rows["reference"].measurements["picture"].rounds) > 1
    assert {m.reason for m in rows["absent"].measurements.values()} == {"given up after 5 s"}


def test_only_the_peers_asked_for_in_the_order_of_the_catalogue(folder, made, tmp_path, catalogue):
    out = tmp_path / "peers.json"
    asked = parsed(
        "--model", "demo", "--size", "64x32", "--envs", str(folder), "--out", str(out), "--rounds", "1"
    )
    asked.peer = ["near", "reference", "near"]
    assert command.run(asked, catalogue) == 0
    report = read_report(out)
    assert [row.name for row in report.rows] == ["reference", "near"]
    assert not report.warnings or not any("whole numbers" in warning for warning in report.warnings)
    assert Counter((tmp_path / "journal").read_text().split()) == {"reference": 3, "near": 3}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "60x64"), "--size: expected multiples of 8, got 60x64"),
    ],
)
def test_what_cannot_be_asked_for(words, message):
    with pytest.raises(InputError, match=message):
        command.run(parsed("--model", "demo", *words))


def test_latentrt_paints_what_its_own_interface_paints(tmp_path):
    """The one runner whose environment the tests have."""
    checkpoint = make_checkpoint(open_model("demo").root, tmp_path)
    prompt = "a large red heart on a blue background"
    work = {"prompt": prompt, "steps": 2, "guidance": 2.0, "width": 64, "height": 64, "seed": 7}
    picture = tmp_path / "picture.ppm"
    job = Job(
        f"{RUNNERS / 'run_latentrt.py'}:Latentrt",
        {"model": str(checkpoint), "work": {**work, "picture": str(picture)}},
    )
    process = Process(job)
    try:
        ends = process.call("paint").result
        process.call("save")
    finally:
        process.close()
    assert len(ends) == 2 and ends[0] < ends[1]
    with latentrt.load(checkpoint, device="cpu", dtype="fp32") as pipeline:
        result = pipeline.txt2img(
            prompt, num_inference_steps=2, guidance_scale=2.0, width=64, height=64, seed=7
        )
    assert np.array_equal(np.asarray(Image.open(picture)), np.asarray(result.images[0]))
