"""The stages of a picture: what each has the networks run is what its work is counted from."""

import json
import math
import shutil
from dataclasses import asdict, replace
from typing import ClassVar

import numpy as np
import pytest

from latentrt.engine.session import Session
from latentrt.models.bundle import open_model
from latentrt_bench.measuring import file_cache
from latentrt_bench.measuring.process import Answer, WorkerError
from latentrt_bench.model import loads
from latentrt_bench.model.configuration import Configuration
from latentrt_bench.model.loads import COLD, WARM, LoadTask, run_loads
from latentrt_bench.model.stages import Load, Picture, Stage, work
from latentrt_bench.report import Measurement

SMALL = Configuration("demo", 64, 32, 2, "cpu", "fp32", steps=3, guidance_scale=7.5)
TILED = replace(SMALL, width=256, height=128, tile=128)
# What the demo's networks are given, by hand: 8 pixels a latent, 4 channels, as many tokens and as wide a context.
TOKENS, CONTEXT = 32, 128
BY_HAND = {
    "text_encoder": ("text_encoder", {"input_ids": (1, TOKENS)}, 2),
    "unet": ("unet", {"sample": (2, 4, 4, 8), "timestep": (), "encoder_hidden_states": (2, TOKENS, CONTEXT)}, 1),
    "unet_guided": (
        "unet", {"sample": (4, 4, 4, 8), "timestep": (), "encoder_hidden_states": (4, TOKENS, CONTEXT)}, 1,
    ),
    "vae_encoder": ("vae_encoder", {"sample": (1, 3, 32, 64)}, 2),
    "vae_decoder": ("vae_decoder", {"latent_sample": (1, 4, 4, 8)}, 2),
}  # fmt: skip


@pytest.fixture
def runs(monkeypatch):
    """Every run of a network from now on: its name, and the shapes that it was given."""
    seen = []
    run = Session.run

    def spy(session, feeds, outputs=None):
        seen.append((session.component, {name: np.shape(value) for name, value in feeds.items()}))
        return run(session, feeds, outputs)

    monkeypatch.setattr(Session, "run", spy)
    return seen


def test_the_work_of_the_demo_by_hand():
    found = work(SMALL.load(), SMALL)
    assert {name: (w.component, dict(w.shapes), w.times) for name, w in found.items()} == BY_HAND


def test_a_context_width_for_each_level_is_as_good_as_one(tmp_path):
    root = tmp_path / "demo"
    shutil.copytree(open_model("demo").root, root)
    path = root / "unet" / "config.json"
    config = json.loads(path.read_text())
    config["cross_attention_dim"] = [CONTEXT] * len(config["block_out_channels"])
    path.write_text(json.dumps(config))
    c = replace(SMALL, model=str(root))
    assert work(c.load(), c) == work(SMALL.load(), SMALL)


def test_without_guidance_there_is_one_prompt():
    c = replace(SMALL, guidance_scale=1.0)
    assert work(c.load(), c)["text_encoder"].shapes == {"input_ids": (1, TOKENS)}


@pytest.mark.parametrize("stage", BY_HAND)
def test_a_stage_runs_what_its_work_says(stage, runs):
    contender = Stage(stage, asdict(SMALL))
    contender.run()
    runs.clear()
    contender.run()
    expected = work(SMALL.load(), SMALL)[stage]
    assert runs == [(expected.component, dict(expected.shapes))] * expected.times


@pytest.mark.parametrize("stage", BY_HAND)
def test_with_low_memory_a_stage_does_not_load_again(stage, monkeypatch):
    contender = Stage(stage, asdict(replace(SMALL, low_memory=True)))
    contender.run()
    monkeypatch.setattr(Session, "__init__", None)
    contender.run()


@pytest.mark.parametrize("stage", ["vae_encoder", "vae_decoder"])
def test_in_tiles_both_passes_are_counted(stage, runs):
    contender = Stage(stage, asdict(TILED))
    runs.clear()
    contender.run()
    expected = work(TILED.load(), TILED)[stage]
    given = [
        (name, {key: shape for key, shape in shapes.items() if key in expected.shapes})
        for name, shapes in runs
    ]
    assert given == [(expected.component, dict(expected.shapes))] * expected.times
    assert expected.times == 2 * 2 * 3  # pictures, passes, tiles: 32 latents in steps of 12 from tiles of 16


def test_a_picture_runs_every_stage_as_often_as_it_should(runs):
    contender = Picture(None, asdict(SMALL))
    runs.clear()
    timings = contender.run()
    by_stage = work(SMALL.load(), SMALL)
    expected = [
        (one.component, dict(one.shapes))
        for one, times in (
            (by_stage["text_encoder"], by_stage["text_encoder"].times),
            (by_stage["unet_guided"], SMALL.steps),
            (by_stage["vae_decoder"], SMALL.batch),
        )
        for _ in range(times)
    ]
    assert runs == expected
    assert timings["load"] == 0  # making the contender has loaded all
    parts = [timings[name] for name in ("text_encoder", "unet", "vae_decoder")]
    assert min(parts) > 0
    assert math.isclose(sum(parts), timings["total"])


def test_sampler_and_guidance_are_those_asked_for(runs):
    contender = Picture("heun", asdict(replace(SMALL, guidance_scale=1.0)))
    runs.clear()
    contender.run()
    unet = [shapes["sample"][0] for name, shapes in runs if name == "unet"]
    assert unet == [SMALL.batch] * (2 * SMALL.steps - 1)  # two evaluations a step, one in the last


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The demo in files of our own, which nobody else maps."""
    root = tmp_path_factory.mktemp("model") / "demo"
    shutil.copytree(open_model("demo").root, root)
    return replace(SMALL, model=str(root))


@pytest.mark.parametrize("stage", ["text_encoder", "unet_guided", "vae_encoder", "vae_decoder"])
def test_a_cold_load_comes_from_the_disk_and_a_warm_one_does_not(copied, stage):
    load = Load(stage, asdict(copied))
    load.empty_cache()
    before = load.proof()
    if before["cached_share"] != 0:
        pytest.skip("the file system keeps its pages (as tmpfs does)")
    load.load()
    assert file_cache.Proof(**load.proof()).why_not_cold is None
    stored = sum(
        tensor.end - tensor.start
        for tensor in open_model(copied.model)
        .components[work(copied.load(), copied)[stage].component]
        .weights.values()
    )
    assert 0 < before["needed_bytes"] <= stored
    # A text encoder's weights are read while it runs, not while it loads.
    if before["from_disk_bytes"] is not None and stage != "text_encoder":
        assert load.proof()["from_disk_bytes"] >= 0.9 * before["needed_bytes"]
    warm = Load(stage, asdict(copied))
    warm.fill_cache()
    warm.load()
    proof = warm.proof()
    assert (proof["cached_share"], proof["from_disk_bytes"]) in ((1.0, 0), (1.0, None))


class Scripted:
    """Stands in for a worker: takes a second longer with each load, and has what cache the test says."""

    shares: ClassVar[dict[str, float]]
    started: ClassVar[list[str]]

    def __init__(self, job):
        self.stage = job.arguments["stage"]
        Scripted.started.append(self.stage)
        self.pid, self.cached = 0, 1.0

    def call(self, method):
        if method == "load" and self.stage == "vae_encoder":
            raise WorkerError("no such kernel")
        if method == "empty_cache":
            self.cached = Scripted.shares.get(self.stage, 0.0)
        result = {"cached_share": self.cached, "from_disk_bytes": None, "needed_bytes": 10}
        return Answer(float(len(Scripted.started)), 0.0, result, 1000 - len(Scripted.started))

    def close(self):
        pass


def test_loads_that_cannot_be_had_say_why(monkeypatch):
    monkeypatch.setattr(loads, "Process", Scripted)
    monkeypatch.setattr(Scripted, "started", [], raising=False)
    monkeypatch.setattr(Scripted, "shares", {"unet": 0.4}, raising=False)
    asked = [(COLD, "text_encoder"), (COLD, "unet"), (WARM, "unet"), (COLD, "vae_encoder")]
    tasks = [LoadTask(cache, stage, SMALL, Measurement()) for cache, stage in asked]
    said = []
    run_loads(tasks, 3, said.append)
    text, cold, warm, broken = (task.measurement for task in tasks)
    # The first round has all four, the others those two that can be had: each is a process of its own.
    assert Scripted.started == ["text_encoder", "unet", "unet", "vae_encoder", *["text_encoder", "unet"] * 2]
    assert (text.rounds, text.peak_rss_bytes) == ([[1.0], [5.0], [7.0]], 999)
    assert warm.rounds == [[3.0], [6.0], [8.0]]
    assert (cold.status, cold.rounds, len(tasks[1].proofs)) == ("failed", [], 1)
    assert "40% of the file was in it" in cold.reason
    assert (broken.status, broken.reason) == ("failed", "no such kernel")
    assert len(said) == 8
