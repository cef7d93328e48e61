"""`latentrt bench model`: once for real, small; and all that can be seen without running a network."""

import json
import shutil
from dataclasses import replace

import made_up
import pytest

from latentrt.cli.main import main
from latentrt.engine import memory
from latentrt.engine.memory import Call
from latentrt.models.bundle import open_model
from latentrt.networks import Variant
from latentrt.networks.cost.macs import cost
from latentrt_bench.limits import ceilings
from latentrt_bench.limits.ceilings import Ceilings
from latentrt_bench.measuring.rounds import Outcome
from latentrt_bench.model import cases
from latentrt_bench.model.cases import Case, make_case
from latentrt_bench.model.configuration import Configuration
from latentrt_bench.model.stages import work
from latentrt_bench.page import page
from latentrt_bench.report import Measurement, read_report

DEMO = Configuration("demo", 64, 64, 1, "cpu", "fp32", steps=2, guidance_scale=7.5)
NETWORKS = ("text_encoder", "unet", "vae_encoder", "vae_decoder")
STAGES = (*NETWORKS, "unet_guided")
ON_CPU = ["--device", "cpu", "--dtype", "fp32"]


@pytest.fixture
def no_ceilings(monkeypatch):
    monkeypatch.setattr(ceilings, "measure_ceilings", lambda *_: Ceilings(1e11, 1e10, 0, {"made up": [1.0]}))


@pytest.fixture
def pretended(monkeypatch, no_ceilings):
    """No worker is started: each task is measured at a second a call; returns what was asked for, by phase."""
    asked: list[list[str]] = []

    def run_loads(tasks, rounds, tell):
        asked.append([f"{task.cache}{task.stage} {task.configuration.name}" for task in tasks])
        for task in tasks:
            task.measurement.rounds += [[2.0]] * rounds

    def run_rounds(tasks, rounds, warmups=2, tell=None, meter=None):
        asked.append([task.name for task in tasks])
        for task in tasks:
            task.measurement.rounds += [[1.0]] * rounds
            if "picture:" in task.name:
                task.results.extend([{"text_encoder": 0.25, "unet": 0.5, "vae_decoder": 0.125}] * rounds)
        return Outcome()

    monkeypatch.setattr("latentrt_bench.command.describe_machine", lambda: made_up.COMMON["machine"])
    quiet = type("Quiet", (), {"found": lambda self: made_up.COMMON["conditions"]})
    monkeypatch.setattr("latentrt_bench.command.Conditions", quiet)  # what others take would count as noise
    monkeypatch.setattr(cases, "run_loads", run_loads)
    monkeypatch.setattr(cases, "run_rounds", run_rounds)
    return asked


@pytest.mark.parametrize("batch", [1, 2])
def test_work_is_that_of_the_graphs_at_the_shapes_run(batch):
    case = make_case(replace(DEMO, batch=batch), [None, "heun"])
    graphs = {name: open_model("demo").components[name] for name in NETWORKS}
    context = {"timestep": (), "encoder_hidden_states": (batch, 32, 128)}
    guided = {"sample": (2 * batch, 4, 8, 8), "timestep": (), "encoder_hidden_states": (2 * batch, 32, 128)}
    by_hand = {
        "text_encoder": ("text_encoder", {"input_ids": (1, 32)}, 2),
        "unet": ("unet", {"sample": (batch, 4, 8, 8), **context}, 1),
        "unet_guided": ("unet", guided, 1),
        "vae_encoder": ("vae_encoder", {"sample": (1, 3, 64, 64)}, batch),
        "vae_decoder": ("vae_decoder", {"latent_sample": (1, 4, 8, 8)}, batch),
    }
    found = case.row.measurements
    for stage, (component, shapes, times) in by_hand.items():
        expected = cost(graphs[component].graph(Variant(fused_attention=True)), shapes)
        assert found[stage].macs == times * expected.macs > 0
        assert found[stage].bytes_moved == times * expected.bytes_moved
        assert found[stage].bytes_least == times * expected.least_bytes
    # Heun: two a step, one in the last.
    for picture, evaluations in (
        ("picture:DDIM", 2),
        ("picture:heun", 3),
    ):
        macs = (
            found["text_encoder"].macs + evaluations * found["unet_guided"].macs + found["vae_decoder"].macs
        )
        assert found[picture].macs == macs
    assert case.row.facts["evaluations"] == {"DDIM": 2, "heun": 3}
    assert case.row.facts["runs"] == {stage: times for stage, (_, _, times) in by_hand.items()}
    assert case.row.facts["dtypes"] == dict.fromkeys(by_hand, "fp32")


def test_every_combination_is_measured_and_loading_once_for_each_type(pretended, tmp_path, capsys):
    out = tmp_path / "out.json"
    command = ["bench", "model", "demo", "--out", str(out), "--device", "cpu", "--quiet", "--rounds", "4"]
    command += [
        "--size",
        "64",
        "--size",
        "128x64",
        "--batch-size",
        "1",
        "--batch-size",
        "3",
        "--batch-size",
        "1",
    ]
    command += [
        "--dtype",
        "fp32",
        "--dtype",
        "fp16",
        "--dtype",
        "auto",
        "--sampler",
        "heun",
        "--sampler",
        "Euler a",
    ]
    assert main([*command, "--steps", "7", "--guidance-scale", "1"]) == 0
    report = read_report(out)
    names = [
        f"{size} batch {batch} cpu {dtype}"
        for dtype in ("fp32", "fp16")
        for size in ("64x64", "128x64")
        for batch in (1, 3)
    ]
    assert [row.name for row in report.rows] == names
    assert report.complete
    assert set(report.ceilings) == {"cpu fp32", "cpu fp16"}
    loads, stages, pictures = pretended
    assert loads == [
        f"{cache}.{network} 64x64 batch 1 cpu {dtype}"
        for dtype in ("fp32", "fp16")
        for network in NETWORKS  # unguided, so that the UNet is loaded for a batch of 1
        for cache in ("load_cold", "load_warm")
    ]
    assert sorted(stages) == sorted(f"{name} {stage}" for name in names for stage in STAGES)
    assert pictures == [f"{name} picture:{sampler}" for name in names for sampler in ("heun", "Euler a")]
    for row, derived in zip(report.rows, report.derived["rows"], strict=True):
        assert row.configuration["steps"] == 7
        minute = 60 * row.configuration["batch"]
        assert derived["pictures_per_minute"] == {"heun": minute, "Euler a": minute}
        assert derived["shares"] == {"text_encoder": 0.25, "unet": 0.5, "vae_decoder": 0.125, "other": 0.125}
        assert {len(m.rounds) for m in row.measurements.values()} == {4}
        assert {point["what"] for point in derived["roofline"]} == set(STAGES)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100


def test_what_is_not_given_is_the_models_own(pretended, tmp_path):
    out = tmp_path / "out.json"
    assert main(["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet", "--json"]) == 0
    report = read_report(out)
    assert [row.name for row in report.rows] == ["128x128 batch 1 cpu fp32"]
    asked = {key: report.settings[key] for key in ("steps", "guidance_scale", "rounds", "samplers", "quick")}
    assert asked == {"steps": 25, "guidance_scale": 2.0, "rounds": 3, "samplers": ["DDIM"], "quick": False}
    assert {len(m.rounds) for m in report.rows[0].measurements.values()} == {3}


def test_a_long_picture_is_predicted_from_its_stages_when_it_is_to_be_quick(pretended, tmp_path):
    out = tmp_path / "out.json"
    command = ["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet", "--quick", "--rounds", "2"]
    assert main([*command, "--steps", "29", "--sampler", "ddim", "--sampler", "heun"]) == 0
    row = read_report(out).rows[0]
    # A text encoder, 29 evaluations or Heun's 57, and a decode, of a second each
    ddim, heun = row.measurements["picture:ddim"], row.measurements["picture:heun"]
    assert (ddim.status, ddim.predicted_s, ddim.rounds) == ("predicted", 31.0, [])
    assert (heun.status, heun.predicted_s) == ("predicted", 59.0)
    assert "57 evaluations" in heun.reason
    assert pretended[-1] == []
    assert {len(m.rounds) for n, m in row.measurements.items() if n.startswith("load")} == {1}


def test_a_picture_of_unknown_length_is_not_painted_when_it_is_to_be_quick(pretended, monkeypatch, tmp_path):
    measured = cases.run_rounds

    def failing(tasks, rounds, **options):
        outcome = measured(tasks, rounds, **options)
        for task in tasks:
            if task.name.endswith("vae_decoder"):
                task.measurement.status, task.measurement.reason = "failed", "out of memory: made up"
        return outcome

    monkeypatch.setattr(cases, "run_rounds", failing)
    out = tmp_path / "out.json"
    command = ["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet"]
    assert main([*command, "--quick"]) == 0
    picture = read_report(out).rows[0].measurements["picture:DDIM"]
    assert picture.status == "failed"
    assert "a stage failed" in picture.reason
    assert main(command) == 0  # who has time is told how the picture itself fares
    assert read_report(out).rows[0].measurements["picture:DDIM"].status == "measured"


def test_limits_are_the_better_of_two_measurements_and_what_passes_them_is_told(
    pretended, monkeypatch, tmp_path
):
    found = [
        Ceilings(1e6, 9e10, 0, {"matmul": [1e6], "copy": [9e10]}),
        Ceilings(3e8, 8e10, 0, {"matmul": [3e8], "conv": [2e8]}),
    ]
    monkeypatch.setattr(ceilings, "measure_ceilings", lambda *_: found.pop(0))
    out = tmp_path / "out.json"
    assert main(["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet"]) == 0
    report = read_report(out)
    assert report.ceilings["cpu fp32"] == {
        "macs_per_s": 3e8, "bytes_per_s": 9e10, "cache_bytes": 0,
        "detail": {"matmul": [1e6, 3e8], "copy": [9e10], "conv": [2e8]},
    }  # fmt: skip
    # At a second a call, that have more than 3e8 MACs.
    beyond = {name for name in STAGES if report.rows[0].measurements[name].macs > 3e8}
    assert beyond == {"unet", "unet_guided", "vae_decoder"}
    assert {line.split(":")[0].split()[-1] for line in report.warnings if "too low" in line} == beyond


def test_with_low_memory_a_predicted_picture_loads_its_networks(pretended, monkeypatch, tmp_path):
    monkeypatch.setattr(cases, "QUICK_PICTURE_S", 10.0, raising=False)
    monkeypatch.setattr("latentrt_bench.model.command.QUICK_PICTURE_S", 10.0)
    out = tmp_path / "out.json"
    asked = ["--low-memory", "--quick", "--steps", "9", "--size", "64", "--size", "128"]
    assert main(["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet", *asked]) == 0
    report = read_report(out)
    for row in report.rows:  # both, though loading is measured at the first size
        picture = row.measurements["picture:DDIM"]
        assert (picture.status, picture.predicted_s) == ("predicted", 3 * 2.0 + 1 + 9 + 1)
    shares = report.derived["rows"][0]["shares"]
    assert shares == {"load": 6 / 17, "text_encoder": 1 / 17, "unet_guided": 9 / 17, "vae_decoder": 1 / 17}


def test_with_low_memory_one_network_at_a_time_needs_memory():
    whole, low = (make_case(replace(DEMO, low_memory=low), [None]).memory for low in (False, True))
    assert low["picture"] == max(low[stage] for stage in ("text_encoder", "unet_guided", "vae_decoder"))
    assert low["picture"] < whole["picture"]
    assert all(low[stage] <= whole[stage] for stage in STAGES)


def test_on_a_gpu_the_systems_memory_holds_no_activations():
    pipeline = DEMO.load()
    call = Call(pipeline.networks.runners["unet"], work(pipeline, DEMO)["unet"].shapes)
    runner = pipeline.runners["unet"]
    activations = cost(runner.component.graph(runner.variant()), call.shapes).peak_activation_bytes
    assert call.running == activations > 0
    runner.provider = replace(runner.provider, name="cuda")
    assert call.running == 0


@pytest.mark.parametrize("network", ["unet", "vae", "text_encoder"])
def test_a_model_without_weights_is_refused_before_anything_is_measured(pretended, network, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(open_model("demo").root, model)
    for file in (model / network).glob("*.safetensors"):
        file.unlink()
    out = tmp_path / "out.json"
    assert main(["bench", "model", str(model), *ON_CPU, "--out", str(out)]) in (1, 2)
    assert "safetensors" in capsys.readouterr().err
    assert pretended == [] and not out.exists()


def test_an_interrupt_keeps_what_was_finished(pretended, monkeypatch, tmp_path, capsys):
    measured = cases.run_rounds

    def interrupted(tasks, rounds, **options):
        measured(tasks[:3], rounds, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(cases, "run_rounds", interrupted)
    out = tmp_path / "out.json"
    assert main(["bench", "model", "demo", *ON_CPU, "--out", str(out), "--quiet", "--rounds", "3"]) == 130
    report = read_report(out)
    assert not report.complete
    loads = {f"{cache}.{network}" for cache in ("load_cold", "load_warm") for network in NETWORKS}
    assert set(report.rows[0].measurements) == loads | {"text_encoder", "unet", "unet_guided"}
    assert "interrupted" in capsys.readouterr().out


def test_compared_with_an_earlier_run(pretended, tmp_path, capsys):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    command = ["bench", "model", "demo", *ON_CPU, "--quiet"]
    assert main([*command, "--out", str(before)]) == 0
    report = read_report(before)
    report.rows[0].measurements["unet"].rounds = [[0.5]] * 5
    report.write(before)
    capsys.readouterr()
    assert main([*command, "--out", str(after), "--compare", str(before)]) == 0
    out = capsys.readouterr().out
    assert out.count("1 slower") == 1
    lines = read_report(after).derived["compared"]["lines"]
    slower = [(line["measurement"], line["ratio"]) for line in lines if line["verdict"] == "slower"]
    assert slower == [("unet", 2.0)]
    assert main([*command, "--out", str(after), "--compare", str(before), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["derived"]["compared"]["lines"] == lines
    assert "Compared: 128x128" in page(read_report(after))


def test_pictures_of_an_inpainting_unet_encode_one(monkeypatch):
    channels = property(lambda model: 9)
    monkeypatch.setattr("latentrt.models.bundle.Model.unet_channels", channels)
    for module in (cases, memory):
        monkeypatch.setattr(module, "cost", lambda graph, shapes: cost(graph, {**shapes, **_as_made(shapes)}))
    case = make_case(DEMO, [None])
    assert case.row.measurements["unet"].macs > 0
    assert case.row.facts["encodes"] == 1
    assert case.row.measurements["picture:DDIM"].status == "measured"
    assert "vae_encoder" in case.painting


def test_a_unet_that_nothing_can_drive_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("latentrt.models.bundle.Model.unet_channels", property(lambda model: 6))
    assert main(["bench", "model", "demo", "--quiet"]) == 1
    assert "its UNet takes 6 channels" in capsys.readouterr().err


def _as_made(shapes):
    """The demo's UNet still takes 4 channels."""
    batch, channels, *sides = shapes.get("sample", (0, 0))
    return {"sample": (batch, 4, *sides)} if channels == 9 else {}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--size", "60x64"], "multiple of 8"),
        (["--size", "sixty"], "WIDTHxHEIGHT"),
        (["--size", "0"], "1 or more"),
        (["--batch-size", "0"], "1 or more"),
        (["--sampler", "nonsense"], "nonsense"),
        (["--steps", "0"], "1 or more"),
        (["--rounds", "0"], "rounds"),
        (["--rounds", "few"], "rounds"),
        (["--guidance-scale", "nan"], "finite"),
        (["--tile", "7"], "tile"),
        (["--device", "abacus"], "abacus"),
        (["--compare", "absent.json"], "absent.json"),
        (["--compare", "{peers}"], "bench model"),
        (["--out", "absent/out.json"], "absent/out.json"),
    ],
)
def test_bad_input_is_said_before_anything_is_measured(
    options, word, pretended, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    peers = tmp_path / "peers.json"
    made_up.peers().write(peers)
    options = [option.format(peers=peers) for option in options]
    assert main(["bench", "model", "demo", "--device", "cpu", *options]) == 2
    assert word in capsys.readouterr().err
    assert pretended == []
    assert list(tmp_path.iterdir()) == [peers]


def test_a_model_that_is_not_there(pretended, capsys):
    assert main(["bench", "model", "/absent"]) == 1
    assert "/absent" in capsys.readouterr().err
    assert pretended == []


def test_for_real(no_ceilings, monkeypatch, tmp_path, capsys):
    loaded = ("text_encoder", "vae_decoder")  # those that load fast; test_stages.py loads all
    monkeypatch.setattr(cases, "_loaded_stages", lambda case, unet: loaded)
    model, out = tmp_path / "demo", tmp_path / "out.json"
    shutil.copytree(open_model("demo").root, model)  # files that no other run maps, or drops from the cache
    command = ["bench", "model", str(model), *ON_CPU, "--size", "64", "--steps", "2", "--batch-size", "2"]
    assert main([*command, "--quick", "--rounds", "1", "--out", str(out), "--quiet"]) == 0
    report = read_report(out)
    (row,) = report.rows
    loads = {f"{cache}.{network}" for cache in ("load_cold", "load_warm") for network in loaded}
    assert set(row.measurements) == loads | {*STAGES, "picture:DDIM"}
    for name, measurement in row.measurements.items():
        if measurement.status == "failed":  # where the system cannot empty its file cache
            assert name.startswith("load_cold")
            assert "cache" in measurement.reason
            continue
        assert len(measurement.rounds) == 1
        assert min(measurement.rounds[0]) > 0
        assert measurement.peak_rss_bytes is None or 20e6 < measurement.peak_rss_bytes < 2e9
    (derived,) = report.derived["rows"]
    assert sum(derived["shares"].values()) == pytest.approx(1, abs=1e-12)
    assert min(derived["shares"].values()) >= 0
    picture = row.measurements["picture:DDIM"]
    assert derived["pictures_per_minute"] == {"DDIM": pytest.approx(60 * 2 / picture.rounds[0][0])}
    stages = row.facts["picture_stages"]["DDIM"]
    assert len(stages) == 1
    assert stages[0]["total"] <= picture.rounds[0][0]
    assert "DDIM" in capsys.readouterr().out


def test_a_case_needs_about_the_memory_of_its_weights_and_values():
    case: Case = make_case(DEMO, [None])
    counted = cost(open_model("demo").components["unet"].graph(Variant()), case.work["unet"].shapes)
    least = counted.weight_bytes + counted.peak_activation_bytes
    assert least < case.memory["unet"] < 3 * least + 300e6
    assert case.memory["picture"] > case.memory["unet_guided"]
    assert isinstance(case.row.measurements["unet"], Measurement)
