"""Folders that an older diffusers wrote: what its pipelines put right when they load one counts here as well."""

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentrt
from latentrt.cli import main
from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.repairs import for_inpainting, repair_scheduler, repair_unet

CASES = ("ddim-no-clip_sample", "ddim-no-steps_offset", "old-sample_size", "text-config-leftovers")
DEMO = open_model("demo").root


def reads(repairs: tuple[Any, ...]) -> dict[str, tuple[Any, Any]]:
    return {repair.key: (repair.before, repair.after) for repair in repairs}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        # DDIM clips and has no offset unless its config says so.
        ({"_class_name": "DDIMScheduler"}, {"steps_offset": (0, 1), "clip_sample": (True, False)}),
        ({"_class_name": "DDIMScheduler", "clip_sample": None}, {"steps_offset": (0, 1), "clip_sample": (True, False)}),
        ({"_class_name": "DDIMScheduler", "clip_sample": True, "steps_offset": 1}, {"clip_sample": (True, False)}),
        ({"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 0}, {"steps_offset": (0, 1)}),
        ({"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 7}, {"steps_offset": (7, 1)}),
        ({"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 1}, {}),
        # What the config itself says not to use is absent.
        (
            {"_class_name": "DDIMScheduler", "clip_sample": False, "_use_default_values": ["clip_sample"]},
            {"steps_offset": (0, 1), "clip_sample": (True, False)},
        ),
        # PNDM does not clip, Euler has an offset, the singlestep solver has neither.
        ({"_class_name": "PNDMScheduler"}, {"steps_offset": (0, 1)}),
        ({"_class_name": "EulerDiscreteScheduler"}, {"steps_offset": (0, 1)}),
        ({"_class_name": "DPMSolverSinglestepScheduler"}, {}),
        ({"_class_name": "AClassOfTomorrow"}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_scheduler_is_set_for_latents_and_what_changed_is_told(
    config: dict[str, Any], told: dict[str, Any]
) -> None:
    before = json.dumps(config)
    repaired, repairs = repair_scheduler(config, None)
    assert reads(repairs) == told
    # Whatever sampler is asked for, these hold.
    assert (repaired["steps_offset"], repaired["clip_sample"]) == (1, False)
    assert not {"steps_offset", "clip_sample"} & set(repaired.get("_use_default_values", ()))
    assert json.dumps(config) == before


@pytest.mark.parametrize("value", ["x", [1], {"a": 1}, 0.5, 0, 1, 7])
def test_what_is_no_value_is_left_to_those_who_read_it_but_any_offset_is_1(value: Any) -> None:
    """As diffusers goes by `is True` and by `!= 1`."""
    config = {
        "_class_name": "DDIMScheduler",
        "clip_sample": value,
        "steps_offset": value,
        "skip_prk_steps": value,
    }
    repaired, repairs = repair_scheduler(config, None)
    assert repaired == {**config, "steps_offset": 1}
    assert reads(repairs) == ({} if value == 1 else {"steps_offset": (value, 1)})
    assert for_inpainting(config)["skip_prk_steps"] == value


@pytest.mark.parametrize("value", [5, "clip_sample", None, {"a": 1}])
def test_a_list_of_what_not_to_use_that_is_none_is_left_alone(value: Any) -> None:
    repaired, _ = repair_scheduler({"_class_name": "DDIMScheduler", "_use_default_values": value}, None)
    assert repaired["_use_default_values"] == value


@pytest.mark.parametrize(
    ("key", "value"), [("beta_start", 1e-300), ("trained_betas", "x"), ("steps_offset", -1)]
)
def test_a_value_that_cannot_be_is_told_with_its_file(
    tmp_path: Path, key: str, value: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value, "clip_sample": "maybe"}))
    out = tmp_path / "x.png"
    assert main(["generate", "x", "--model", str(tmp_path / "model"), "--quiet", "--out", str(out)]) == 1
    error = capfd.readouterr().err
    assert error.startswith(f"latentrt: error: {path}: ") and error.count("\n") == 1 and not out.exists()
    assert main(["info", str(tmp_path / "model")]) == 0
    assert str(path) in capfd.readouterr().out


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"sampler": "nope"}, "sampler: no such sampler, 'nope'"),
        ({"width": 100}, "width is 100; expected a multiple of 8"),
        ({"guidance_scale": "x"}, "guidance_scale is 'x'"),
    ],
)
def test_advice_that_no_run_can_follow_is_the_models_fault(
    tmp_path: Path, values: dict[str, Any], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps(values))
    assert (
        main(
            ["generate", "x", "--model", str(tmp_path / "model"), "--quiet", "--out", str(tmp_path / "x.png")]
        )
        == 1
    )
    error = capfd.readouterr().err
    assert error.startswith(f"latentrt: error: {path}: {named}") and error.count("\n") == 1


def test_a_scheduler_class_that_is_not_built_is_the_models_fault(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "model_index.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "scheduler": ["diffusers", "KarrasVeScheduler"]})
    )
    arguments = [
        "generate",
        "x",
        "--model",
        str(tmp_path / "model"),
        "--steps",
        "1",
        "--size",
        "32x32",
        "--quiet",
    ]
    assert main([*arguments, "--out", str(tmp_path / "x.png")]) == 1
    error = capfd.readouterr().err
    assert "scheduler_config.json: _class_name: KarrasVeScheduler is not built; name another sampler" in error
    assert main([*arguments, "--sampler", "euler", "--out", str(tmp_path / "x.png")]) == 0


def test_the_class_is_that_of_the_index() -> None:
    config = {"_class_name": "DDIMScheduler", "clip_sample": False, "steps_offset": 1}
    repaired, (repair,) = repair_scheduler(config, "PNDMScheduler")
    assert repaired["_class_name"] == "PNDMScheduler"
    assert str(repair) == (
        "scheduler/scheduler_config.json: _class_name is 'DDIMScheduler'; taken for 'PNDMScheduler', as "
        "model_index.json says"
    )
    assert repair_scheduler(config, "DDIMScheduler")[1] == ()


@pytest.mark.parametrize(("given", "after"), [({}, True), ({"skip_prk_steps": False}, True)])
def test_inpainting_leaves_out_the_runge_kutta_steps(given: dict[str, Any], after: bool) -> None:
    assert for_inpainting({"_class_name": "PNDMScheduler", **given})["skip_prk_steps"] is after


@pytest.mark.parametrize(
    ("version", "size", "after"),
    [
        ("0.2.2", 32, 64), ("0.8.1", 63, 64), ("0.4.0.dev0", 8, 64), ("v0.7.2", 8, 64),
        ("0.8.1", 64, 64), ("0.8.1", 96, 96), ("0.9.0.dev0", 8, 8), ("0.9.0", 32, 32), ("0.10.2", 32, 32),
        ("0.42.1", 16, 16), ("1.0.0", 8, 8), (None, 8, 8), ("x", 8, 8), (4, 8, 8),
        ("0.4.0", -3, -3), ("0.4.0", 0, 0),
        ("0.4.0", [32, 32], [32, 32]), ("0.4.0", None, None), ("0.4.0", True, True), ("0.4.0", "32", "32"),
    ],
)  # fmt: skip
def test_a_sample_size_of_before_0_9_is_64(version: Any, size: Any, after: Any) -> None:
    repaired, repairs = repair_unet({"_diffusers_version": version, "sample_size": size, "in_channels": 4})
    assert repaired == {"_diffusers_version": version, "sample_size": after, "in_channels": 4}
    assert reads(repairs) == ({} if size == after else {"sample_size": (size, after)})


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder of a public case: the demo with its files laid over."""

    def make(name: str) -> Path:
        data = os.environ.get("LATENTRT_TEST_DATA")
        if not data:
            pytest.skip("LATENTRT_TEST_DATA is not set: expected a folder with cases/checkpoints")
        shutil.copytree(DEMO, tmp_path / name)
        shutil.copytree(Path(data) / "cases" / "checkpoints" / name, tmp_path / name, dirs_exist_ok=True)
        return tmp_path / name

    return make


def painted(model: Path | str, prompt: str = "a red heart", **settings: Any) -> np.ndarray:
    with latentrt.load(model, device="cpu") as pipeline:
        settings = {"num_inference_steps": 3, "seed": 1, "width": 64, "height": 64} | settings
        return pipeline.txt2img(prompt, **settings).latents


@functools.cache
def demo_latents() -> np.ndarray:
    return painted(DEMO)


@pytest.mark.parametrize("name", ["ddim-no-clip_sample", "ddim-no-steps_offset", "text-config-leftovers"])
def test_a_case_paints_what_the_whole_config_paints(case: Callable[[str], Path], name: str) -> None:
    assert np.array_equal(painted(case(name)), demo_latents())


def test_the_cases_tell_what_was_repaired(
    case: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {}
    for name in CASES:
        assert main(["info", str(case(name)), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        told[name] = facts["repairs"]
    assert told["ddim-no-clip_sample"] == [
        "scheduler/scheduler_config.json: clip_sample is absent, which is True; taken for False, as diffusers' "
        "pipelines set it"
    ]
    assert [repair.split(";")[0] for repair in told["ddim-no-steps_offset"]] == [
        "scheduler/scheduler_config.json: steps_offset is absent, which is 0"
    ]
    assert [repair.split(",")[0] for repair in told["old-sample_size"]] == [
        "unet/config.json: sample_size is 8; taken for 64"
    ]
    assert told["text-config-leftovers"] == []
    assert main(["info", str(case("unet-sample_size-list"))]) == 0
    assert "defaults   128x128," in capsys.readouterr().out


def test_an_old_size_is_painted_at_512(case: Callable[[str], Path]) -> None:
    model = open_model(case("old-sample_size"))
    assert model.default_size == (512, 512)
    assert (model.default_side("width"), open_model("demo").default_side("width")) == (512, 128)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [([16, 24], (192, 128)), ([8, 8], (64, 64)), (None, (512, 512)), (..., (512, 512)), (96, (768, 768))],
)
def test_sizes_of_a_unet(tmp_path: Path, size: Any, pixels: tuple[int, int]) -> None:
    """[height, width], one number, or nothing, which is what Stable Diffusion was made for."""
    assert open_model(with_size(tmp_path, size)).default_size == pixels


@pytest.mark.parametrize(
    "size", [4096, 2**31 - 1, [2**20, 64], [1, 2**40], -1, 0, "64", [16], [[16, 16]], 16.5, True]
)
def test_a_size_that_nobody_paints_is_refused_by_name_and_can_be_given(
    tmp_path: Path, size: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = with_size(tmp_path, size)
    arguments = [
        "generate",
        "x",
        "--model",
        str(folder),
        "--steps",
        "1",
        "--quiet",
        "--out",
        str(tmp_path / "x.png"),
    ]
    assert main(arguments) == 1
    error = capfd.readouterr().err
    assert (
        error.startswith(f"latentrt: error: {folder / 'unet' / 'config.json'}: sample_size is ")
        and error.count("\n") == 1
    )
    assert main([*arguments, "--size", "64x64"]) == 0
    assert main(["info", str(folder)]) == 0
    assert "sample_size is" in capfd.readouterr().out


def with_size(tmp_path: Path, size: Any) -> Path:
    shutil.copytree(DEMO, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").unlink()
    path = tmp_path / "model" / "unet" / "config.json"
    config = {key: value for key, value in json.loads(path.read_text()).items() if key != "sample_size"}
    path.write_text(json.dumps(config if size is ... else {**config, "sample_size": size}))
    return tmp_path / "model"


@pytest.mark.parametrize(
    "architectures", [5, None, "CLIPTextModel", ["CLIPModel"], ["CLIPTextModel", "CLIPModel"], {}]
)
def test_what_the_index_names_a_network_counts(tmp_path: Path, architectures: Any) -> None:
    """And architectures, which is read where nothing else says the class, changes nothing then."""
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "text_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": architectures}))
    assert np.array_equal(painted(tmp_path / "model"), demo_latents())
    assert main(["info", str(tmp_path / "model")]) == 0


def test_a_class_of_the_index_that_is_not_built_is_named(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "unet": ["diffusers", "UNet3DConditionModel"]}))
    with pytest.raises(
        ModelError, match="unet: model_index.json says it is a UNet3DConditionModel; expected UNet2DCond"
    ):
        painted(tmp_path / "model")
    path.write_text(json.dumps({**index, "unet": None, "text_encoder": [None, None]}))  # which says nothing
    assert np.array_equal(painted(tmp_path / "model"), demo_latents())


@pytest.mark.parametrize(
    "entry", ["x", [], ["DDIMScheduler"], ["diffusers", 5], [None, "DDIMScheduler"], ["a", "b", "c"], 5, {}]
)
@pytest.mark.parametrize("key", ["scheduler", "unet", "vae", "text_encoder"])
def test_an_entry_of_the_index_that_is_none_is_named(tmp_path: Path, key: str, entry: Any) -> None:
    shutil.copytree(DEMO, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    path = tmp_path / "model" / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: entry}))
    with pytest.raises(ModelError, match=rf'model_index\.json: {key} is .*; expected \["library", "Class"\]'):
        open_model(tmp_path / "model")


def test_the_config_of_a_whole_clip_holds_that_of_its_text_half(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    path = tmp_path / "model" / "text_encoder" / "config.json"
    own = json.loads(path.read_text())
    path.write_text(
        json.dumps({"model_type": "clip", "projection_dim": 8, "text_config": own, "vision_config": {}})
    )
    assert np.array_equal(painted(tmp_path / "model"), demo_latents())


def test_an_added_token_without_a_row_is_named_when_a_prompt_has_it(
    case: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = case("added-token-beyond")
    (folder / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    for negative, prompt in (("", "a <my-style> heart"), ("<my-style>", "a heart")):
        with pytest.raises(
            ModelError, match=r"token '<my-style>' has the id 680, and the text encoder has rows for 680"
        ):
            painted(folder, prompt, negative_prompt=negative, guidance_scale=3.0)
    out = tmp_path / "x.png"
    assert main(["generate", "<my-style>", "--model", str(folder), "--quiet", "--out", str(out)]) == 1
    streams = capfd.readouterr()
    assert streams.err.startswith("latentrt: error: ") and streams.err.count("\n") == 1 and not streams.out
    assert not out.exists()
    assert np.array_equal(painted(folder), demo_latents())


def test_a_random_seed_is_told() -> None:
    with latentrt.load("demo", device="cpu") as pipeline:
        settings: dict[str, Any] = {"num_inference_steps": 1, "width": 32, "height": 32}
        results = [pipeline.txt2img("x", seed=seed, **settings) for seed in (-1, np.int64(-1), None)]
        seeds = [result.seeds[0] for result in results]
        assert len(set(seeds)) == 3 and all(0 <= seed < 2**32 for seed in seeds)
        assert [result.parameters[0].seed for result in results] == seeds
        again = pipeline.txt2img("x", seed=seeds[0], **settings)
        assert np.array_equal(again.latents, results[0].latents)
        several = pipeline.txt2img("x", seed=[5, -1], **settings).seeds
        assert several[0] == 5 and several[1] not in (-1, 5)


@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded", "ignore::latentrt.NotTold")
def test_recalling_a_picture_whose_seed_is_minus_1_paints_a_random_one() -> None:
    assert "seed" not in latentrt.recall(
        "a heart\nSteps: 3, Sampler: DDIM, CFG scale: 2, Seed: -1, Size: 64x64"
    )
