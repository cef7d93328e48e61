"""`bench model` of SDXL, of models that are told the guidance scale, that edit, that paint a part anew; of a file."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from single_files import write_small_xl

from latentrt.engine.session import Session
from latentrt_bench.measuring import file_cache
from latentrt_bench.model.cases import make_case
from latentrt_bench.model.configuration import Configuration, request_of
from latentrt_bench.model.stages import Load, Picture, Stage, _unet_feeds, unet_stage, work

TOOLS = Path(__file__).parents[3] / "tools"
FAST, SLOW = ("file", "lcm"), ("sdxl", "refiner", "sdxl-inpaint", "ip2p", "sd2-depth", "x4-upscaler")
KINDS = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
# What a guided evaluation is fed at once: for the prompt, the negative one, and the latter without the picture.
ROWS = {"lcm": 1, "ip2p": 3}
ONE_ENCODER = ("lcm", "ip2p", "sd2-depth", "x4-upscaler")
# Pictures that are encoded for a run: of a refiner the one painted over, of inpainting the masked one.
ENCODED = {"refiner": 1, "sdxl-inpaint": 1, "ip2p": 1, "sd2-depth": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A configuration of a family's random model in small widths; of "file", of one in one file."""
    if not TOOLS.is_dir():
        pytest.skip("the tools are not installed")
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        from families import FAMILIES
        from make_random import write_folder

        def make(name):
            if name not in kept:
                root = tmp_path_factory.mktemp(name) / "model"
                if name == "file":
                    root = write_small_xl(root.with_suffix(".safetensors"))
                else:
                    write_folder(FAMILIES[name].tiny(), root, 0, "fp16", [])
                kept[name] = Configuration(str(root), 64, 32, 2, "cpu", "fp32", steps=2, guidance_scale=5.0)
            return kept[name]

        yield make
    for module in ("families", "make_random"):
        sys.modules.pop(module, None)


@pytest.fixture
def runs(monkeypatch):
    """Every run of a network from now on: its name, and what it was given."""
    seen = []
    run = Session.run

    def spy(session, feeds, outputs=None):
        seen.append((session.component, {name: np.array(value) for name, value in feeds.items()}))
        return run(session, feeds, outputs)

    monkeypatch.setattr(Session, "run", spy)
    return seen


def shapes(seen):
    return [(name, {port: value.shape for port, value in feeds.items()}) for name, feeds in seen]


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_feeds_the_networks_what_their_stages_do(name, made, runs):
    """By the ports, and to the shape; what the picture's sizes are told by, to the number."""
    c = made(name)
    contender = Picture(None, asdict(c))
    runs.clear()
    contender.run()
    stages = work(c.load(), c)
    encoders = [stage for stage in stages if stage.startswith("text_encoder")]
    unet = stages[unet_stage(c.load().model, c)]
    rows = ROWS.get(name, 2)
    assert unet.shapes["sample"][0] == rows * c.batch
    expected = [(stage, dict(stages[stage].shapes)) for stage in encoders for _ in range(stages[stage].times)]
    expected += [("vae_encoder", {"sample": (1, 3, 32, 64)})] * ENCODED.get(name, 0)
    expected += [("unet", dict(unet.shapes))] * request_of(c.load().model, c).evaluated
    expected += [("vae_decoder", dict(stages["vae_decoder"].shapes))] * c.batch
    assert shapes(runs) == expected
    fed = _unet_feeds(c.load(), c, unet_stage(c.load().model, c))
    asked = next(feeds for component, feeds in runs if component == "unet")
    for port in {"time_ids", "timestep_cond", "class_labels", "timestep"} & asked.keys():
        np.testing.assert_array_equal(fed[port], asked[port])
    assert ("time_ids" in asked) == (name in ("file", "sdxl", "refiner", "sdxl-inpaint"))
    assert ("timestep_cond" in asked) == (name == "lcm")


@pytest.mark.parametrize("name", KINDS)
def test_every_stage_runs_what_its_work_says(name, made, runs):
    c = made(name)
    stages = work(c.load(), c)
    assert ("unet_guided" in stages) == (name != "lcm")
    assert ("text_encoder" in stages, "text_encoder_2" in stages) == (
        name != "refiner",
        name not in ONE_ENCODER,
    )
    for stage, expected in stages.items():
        contender = Stage(stage, asdict(c))
        runs.clear()
        contender.run()
        assert shapes(runs) == [(expected.component, dict(expected.shapes))] * expected.times


@pytest.mark.parametrize("name", KINDS)
def test_its_pictures_work_is_that_of_its_stages(name, made):
    c = made(name)
    case = make_case(c, [None])
    (sampler,) = case.samplers
    of = {stage: m.macs for stage, m in case.row.measurements.items()}
    unet = "unet" if name == "lcm" else "unet_guided"
    texts = [stage for stage in of if stage.startswith("text_encoder")]
    evaluations = case.row.facts["evaluations"][sampler]
    macs = sum(of[stage] for stage in texts) + evaluations * of[unet] + of["vae_decoder"]
    macs += ENCODED.get(name, 0) * of["vae_encoder"] / c.batch
    assert of[f"picture:{sampler}"] == round(macs)
    assert [stage for stage in case.loaded if stage.startswith("unet")] == [unet]
    assert ("vae_encoder" in case.painting) == (name in ENCODED)
    dtypes = make_case(replace(c, dtype="fp16"), [None]).row.facts["dtypes"]
    assert dtypes[unet] == "fp16"
    assert dtypes["vae_decoder"] == (
        "fp16" if name in ("lcm", "ip2p", "sd2-depth") else "fp32"  # SDXL's and the upscaler's overflow
    )


@pytest.mark.parametrize("stage", ["text_encoder_2", "unet_guided"])
def test_of_a_file_that_part_is_cold_or_warm_which_is_loaded(stage, made):
    load = Load(stage, asdict(made("file")))
    load.empty_cache()
    if load.proof()["cached_share"] != 0:
        pytest.skip("the file system keeps its pages (as tmpfs does)")
    load.fill_cache()
    proof = file_cache.Proof(**load.proof())
    assert proof.why_not_warm is None
    whole = Path(load._c.model).stat().st_size
    assert 0 < proof.needed_bytes < 0.9 * whole
    load.load()


def test_parts_of_a_file_are_read_and_told_of_alone(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(1 << 20))
    file_cache.empty(path)
    if file_cache.cached_share(path) != 0:
        pytest.skip("the file system keeps its pages (as tmpfs does)")
    file_cache.fill(path, [(0, 4096)])
    assert file_cache.cached_share(path, [(0, 4096)]) == 1
    assert file_cache.cached_share(path, [(1, 2), (100, 200)]) == 1
    assert file_cache.joined([(30, 40), (0, 10), (8, 20)], gap=5) == [(0, 20), (30, 40)]
    assert file_cache.joined([(30, 40), (0, 10), (8, 20)], gap=10) == [(0, 40)]
