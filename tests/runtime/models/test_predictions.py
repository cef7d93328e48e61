"""What no shape of a file tells: how it predicts, by markers, metadata, a .yaml or statistics; steps, by its name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds import KINDS
from single_files import stored, write_kind

from latentrt.errors import ModelError
from latentrt.models.bundle import open_model
from latentrt.models.few_steps import few_steps_of
from latentrt.models.model import Model
from latentrt.models.replacing import make_replacements
from latentrt.models.safetensors import read_header

SD2_SPREAD = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def put(path: Path, values: dict[str, Any]) -> Path:
    """Write values into a file of which the rest is empty."""
    header = read_header(path)
    with path.open("r+b") as file:
        for name, value in values.items():
            file.seek(header[name].start)
            data = np.asarray(value, {"F16": "<f2", "F32": "<f4"}[header[name].dtype]).tobytes()
            assert len(data) == header[name].end - header[name].start
            file.write(data)
    return path


def opened(path: Path, kind: str = "sdxl", values: dict[str, Any] | None = None, **more: Any) -> Model:
    shapes = {name: np.shape(value) for name, value in (values or {}).items()}
    shapes = {name: shape for name, shape in shapes.items() if name not in stored(KINDS[kind])}
    write_kind(path, KINDS[kind], **{**shapes, **more})
    return open_model(put(path, values or {}))


EMPTY = (0,)


def test_nothing_said_is_the_familys_own(tmp_path: Path) -> None:
    model = opened(tmp_path / "m.safetensors")
    assert model.scheduler_config["_class_name"] == "EulerDiscreteScheduler"
    assert model.scheduler_config["prediction_type"] == "epsilon"
    assert "nothing in it says otherwise" in str(model.prediction_why)
    assert model.notes == ()


@pytest.mark.parametrize("zero", [False, True])
def test_v_pred_and_ztsnr(zero: bool, tmp_path: Path) -> None:
    """Tensors of no values, whose presence counts."""
    model = opened(tmp_path / "m.safetensors", **{"v_pred": EMPTY, **({"ztsnr": EMPTY} if zero else {})})
    assert model.scheduler_config["prediction_type"] == "v_prediction"
    assert model.scheduler_config.get("rescale_betas_zero_snr", False) is zero
    assert model.contents is not None
    assert model.contents.unknown == model.contents.extras == ()


def test_playgrounds_statistics(tmp_path: Path) -> None:
    mean, std = np.float16([-1.657, 1.886, -1.383, 2.516]), np.float16([8.49, 5.9, 6.55, 5.23])
    model = opened(tmp_path / "m.safetensors", values={"edm_mean": mean, "edm_std": std})
    assert model.scheduler_config["_class_name"] == "EDMDPMSolverMultistepScheduler"
    vae = model.components["vae_decoder"].config
    assert vae["latents_mean"] == mean.tolist()
    assert vae["latents_std"] == std.tolist()
    assert vae["scaling_factor"] == 0.5
    assert model.defaults["guidance_scale"] == 3.0


def test_cosxls_noise_levels(tmp_path: Path) -> None:
    values = {"edm_vpred.sigma_max": np.float16(200), "edm_vpred.sigma_min": np.float16(0.125)}
    model = opened(tmp_path / "m.safetensors", values=values)
    config = model.scheduler_config
    assert config["_class_name"] == "EDMEulerScheduler"
    assert (config["sigma_max"], config["sigma_min"], config["prediction_type"]) == (
        200,
        0.125,
        "v_prediction",
    )


@pytest.mark.parametrize(
    "values", [{"edm_vpred.sigma_max": np.float16(np.nan)}, {"edm_mean": [0] * 3, "edm_std": [1] * 4}]
)
def test_markers_that_cannot_be(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.safetensors: tensor edm_\S+: expected [14] finite numbers"):
        opened(tmp_path / "m.safetensors", values=values)


@pytest.mark.parametrize(
    ("metadata", "kind", "wanted"),
    [
        ({"modelspec.prediction_type": "v"}, "sdxl", "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, "sdxl", "epsilon"),
        ({"prediction_type": "v_prediction"}, "sdxl", "v_prediction"),
        ({"prediction_type": "v"}, "sd1", "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "sd2", "v_prediction"),
        ({"prediction_type": "something"}, "sdxl", "epsilon"),
    ],
)
def test_metadata(metadata: dict[str, str], kind: str, wanted: str, tmp_path: Path) -> None:
    model = open_model(write_kind(tmp_path / "m.safetensors", KINDS[kind], metadata))
    assert model.scheduler_config["prediction_type"] == wanted
    if wanted != "epsilon":
        assert "metadata" in str(model.prediction_why)


def test_a_marker_counts_more_than_metadata(tmp_path: Path) -> None:
    """Merges copy the metadata of one parent."""
    said = {"modelspec.prediction_type": "epsilon"}
    model = open_model(write_kind(tmp_path / "m.safetensors", KINDS["sdxl"], said, v_pred=EMPTY))
    assert model.scheduler_config["prediction_type"] == "v_prediction"


@pytest.mark.parametrize(("spread", "wanted", "size"), [(0.2, "v_prediction", 768), (0.05, "epsilon", 512)])
def test_stable_diffusion_2_by_the_spread_of_a_norm(
    spread: float, wanted: str, size: int, tmp_path: Path
) -> None:
    values = np.random.default_rng(0).standard_normal(320) * spread
    model = opened(tmp_path / "m.safetensors", "sd2", {SD2_SPREAD: values})
    assert model.scheduler_config["prediction_type"] == wanted
    assert model.default_size == (size, size)
    assert f"m.safetensors: taken to predict {wanted}" in model.notes[0]
    assert "--prediction-type" in model.notes[0]


def test_what_is_asked_for_counts_most(tmp_path: Path) -> None:
    path = tmp_path / "sdxl_lightning_4step.safetensors"
    write_kind(path, KINDS["sdxl"], v_pred=EMPTY)
    for kind in ("epsilon", "v_prediction", "sample"):
        model = open_model(path, make_replacements(prediction_type=kind))
        assert model.scheduler_config["prediction_type"] == kind
        assert model.scheduler_config["timestep_spacing"] == "trailing"
    given = make_replacements(prediction_type="v_prediction")
    assert open_model("demo", given).scheduler_config["prediction_type"] == "v_prediction"
    write_kind(tmp_path / "v2.safetensors", KINDS["sd2"])
    asked = open_model(tmp_path / "v2.safetensors", given)
    assert asked.scheduler_config["_class_name"] == "DDIMScheduler"
    assert asked.notes == ()


def test_a_marker_counts_for_models_of_few_steps(tmp_path: Path) -> None:
    path = tmp_path / "sdxl_lightning_4step.safetensors"
    model = open_model(write_kind(path, KINDS["sdxl"], v_pred=EMPTY, ztsnr=EMPTY))
    assert model.scheduler_config["timestep_spacing"] == "trailing"
    assert model.scheduler_config["prediction_type"] == "v_prediction"
    assert model.scheduler_config["rescale_betas_zero_snr"] is True
    assert model.defaults["num_inference_steps"] == 4
    assert "few steps, Lightning, 4 steps, by its name" in model.notes[0]


YAML = {
    "v": ("model: {params: {parameterization: v}}", "v_prediction"),
    "eps": ("model: {params: {parameterization: eps}}", "epsilon"),
    "other": ("model: {params: {parameterization: x0}}", "epsilon"),
    "empty": ("", "epsilon"),
    "list": ("[1, 2]", "epsilon"),
}


@pytest.mark.parametrize("name", YAML)
def test_a_yaml_beside_the_file(name: str, tmp_path: Path) -> None:
    text, wanted = YAML[name]
    path = write_kind(tmp_path / "m.safetensors", KINDS["sd1"])
    path.with_suffix(".yaml").write_text(text)
    assert open_model(path).scheduler_config["prediction_type"] == wanted


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"num_heads": 8}, 8),
        (
            {"num_heads": -1, "num_head_channels": 64, "model_channels": 320, "channel_mult": [1, 2, 4, 4]},
            [5, 10, 20, 20],
        ),
        ({}, 8),
    ],
)
def test_heads_of_a_yaml(params: dict[str, Any], wanted: Any, tmp_path: Path) -> None:
    path = write_kind(tmp_path / "m.safetensors", KINDS["sd1"])
    text = json.dumps(
        {"model": {"params": {"unet_config": {"target": "x", "params": params}}}}
    )  # JSON is YAML
    path.with_suffix(".yaml").write_text(text)
    assert open_model(path).components["unet"].config["attention_head_dim"] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "!!python/object/apply:os.system [true]",
        "[" * 500,
        "k: v\n" * 20000,
        "model: {params: {unet_config: {params: {num_heads: x}}}}",
    ],
)
def test_a_yaml_that_is_none(text: str, tmp_path: Path) -> None:
    path = write_kind(tmp_path / "m.safetensors", KINDS["sd1"])
    path.with_suffix(".yaml").write_text(text)
    with pytest.raises(ModelError, match=r"m\.yaml"):
        open_model(path)


XL_STEPS = {
    "sd_xl_turbo_1.0_fp16": ("Turbo", {"num_inference_steps": 1, "guidance_scale": 0.0, "width": 512}),
    "sd_xl_turbo_1.0": ("Turbo", {}),
    "sdxl-turbo": ("Turbo", {}),
    "sdxl_lightning_2step": ("Lightning, 2 steps", {"num_inference_steps": 2, "guidance_scale": 0.0}),
    "sdxl_lightning_4step_unet": ("Lightning, 4 steps", {"num_inference_steps": 4}),
    "sdxl_lightning_8step": ("Lightning, 8 steps", {"num_inference_steps": 8}),
    "SDXL-Lightning 8 steps": ("Lightning, 8 steps", {"num_inference_steps": 8}),
    "sdxl_lightning_1step_x0": ("Lightning, 1 steps", {"num_inference_steps": 1}),
    "Hyper-SDXL-1step-Unet": ("Hyper-SD, 1 step", {"timesteps": [800], "eta": 1.0}),
    "Hyper-SDXL-1step-Unet-Comfyui.fp16": ("Hyper-SD, 1 step", {"timesteps": [800]}),
    "Hyper-SDXL-4steps-CFG": ("Hyper-SD, 4 steps", {"num_inference_steps": 4}),
    "dmd2_sdxl_4step_unet_fp16": ("DMD2, 4 steps", {"timesteps": [999, 749, 499, 249]}),
    "dmd2_sdxl_1step_unet": ("DMD2, 1 steps", {"timesteps": [399]}),
    "someXL-LCM": ("LCM", {"guidance_scale": 1.0}),
}
NO_STEPS = (
    "dreamshaperXL_v21TurboDPMSDE", "DreamShaperXL_Turbo_v2", "turbovisionxlSuperFastXLBasedOnNew_tvxlV431Bakedvae",
    "lightningStrike_v1", "juggernautXL_v9Rdphoto2Lightning", "RealVisXL_V4.0_Lightning", "photonLCM_v10",
    "realisticVisionV60B1_v51HyperVAE", "hyperrealism_v3", "dreamshaper_8", "sd_xl_base_1.0", "lcmonster",
    "flux_lightning_16step", "sdxl_lightning_12steps", "lightning_14steps", "4stepsAhead_v2", "someXL_DMD2_merge",
    "ponyDiffusionV6XL", "v1-5-pruned-emaonly",
)  # fmt: skip


@pytest.mark.parametrize("name", XL_STEPS)
def test_names_that_tell_of_few_steps(name: str) -> None:
    few = few_steps_of(name, latent_consistency=False, xl=True)
    called, advice = XL_STEPS[name]
    assert few is not None
    assert few.name == called
    assert advice.items() <= few.defaults.items()


@pytest.mark.parametrize("name", NO_STEPS)
def test_names_that_only_sound_so(name: str) -> None:
    assert few_steps_of(name, latent_consistency=False, xl=True) is None


def test_names_of_stable_diffusion_2_and_1() -> None:
    turbo = few_steps_of("sd_turbo", latent_consistency=False, xl=False)
    assert turbo is not None
    assert turbo.scheduler["timestep_spacing"] == "trailing"
    assert few_steps_of("sdxl_lightning_4step", latent_consistency=False, xl=False) is None
    named = few_steps_of("Dreamshaper_v7", latent_consistency=True, xl=False)
    assert named is not None
    assert named.name == "latent consistency model"


def test_the_one_step_lightning_predicts_the_picture(tmp_path: Path) -> None:
    path = write_kind(tmp_path / "sdxl_lightning_1step_x0.safetensors", KINDS["sdxl"])
    assert open_model(path).scheduler_config["prediction_type"] == "sample"
