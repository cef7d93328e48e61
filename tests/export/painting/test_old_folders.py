"""Folders as diffusers 0.2 to today's wrote them: what today's diffusers paints of them is painted here."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="compares with torch")

import diffusers  # noqa: E402
from checkpoints import save_pipeline  # noqa: E402

import latentrt  # noqa: E402

BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
# What the constructors of each version wrote into scheduler_config.json, where nothing but the betas was given.
SCHEDULERS = {
    "0.2.2 DDIM": {
        "_class_name": "DDIMScheduler", "trained_betas": None, "timestep_values": None, "clip_sample": True,
        "set_alpha_to_one": True, "tensor_format": "pt",
    },
    "0.2.2 PNDM": {"_class_name": "PNDMScheduler", "tensor_format": "pt", "skip_prk_steps": True},
    "0.2.2 LMS": {
        "_class_name": "LMSDiscreteScheduler", "trained_betas": None, "timestep_values": None, "tensor_format": "pt",
    },
    "0.4.0 DDIM": {
        "_class_name": "DDIMScheduler", "trained_betas": None, "clip_sample": True, "set_alpha_to_one": False,
        "steps_offset": 0,
    },
    "0.4.0 PNDM": {
        "_class_name": "PNDMScheduler", "trained_betas": None, "skip_prk_steps": True, "set_alpha_to_one": False,
        "steps_offset": 0,
    },
    # Stable Diffusion 1.4's own: PNDM's, to be read by any class.
    "0.7.0.dev0 PNDM": {
        "_class_name": "PNDMScheduler", "clip_sample": False, "skip_prk_steps": True, "set_alpha_to_one": False,
        "steps_offset": 1, "trained_betas": None,
    },
    "0.9.0 DPMSolver": {
        "_class_name": "DPMSolverMultistepScheduler", "trained_betas": None, "solver_order": 2,
        "prediction_type": "epsilon", "thresholding": False, "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0, "algorithm_type": "dpmsolver++", "solver_type": "midpoint", "lower_order_final": True,
    },
    "0.9.0 Euler": {"_class_name": "EulerDiscreteScheduler", "trained_betas": None, "prediction_type": "v_prediction"},
    "0.14.0 DDIM": {
        "_class_name": "DDIMScheduler", "trained_betas": None, "clip_sample": True, "clip_sample_range": 1.0,
        "set_alpha_to_one": True, "steps_offset": 0, "prediction_type": "v_prediction", "thresholding": False,
        "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0,
    },
    "0.14.0 UniPC": {
        "_class_name": "UniPCMultistepScheduler", "trained_betas": None, "solver_order": 2,
        "prediction_type": "epsilon", "thresholding": False, "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0, "predict_x0": True,
        "solver_type": "bh2", "lower_order_final": True, "disable_corrector": [0], "solver_p": None,
    },
    "0.21.0 EulerAncestral": {
        "_class_name": "EulerAncestralDiscreteScheduler", "trained_betas": None, "prediction_type": "epsilon",
        "timestep_spacing": "leading", "steps_offset": 0,
    },
    "0.21.0 DPMSolver": {
        "_class_name": "DPMSolverMultistepScheduler", "trained_betas": None, "solver_order": 3,
        "prediction_type": "epsilon", "thresholding": False, "dynamic_thresholding_ratio": 0.995,
        "sample_max_value": 1.0, "algorithm_type": "dpmsolver++", "solver_type": "midpoint", "lower_order_final": True,
        "use_karras_sigmas": False, "lambda_min_clipped": -float("inf"), "variance_type": None,
        "timestep_spacing": "leading", "steps_offset": 0,
    },
}  # fmt: skip
# And what today's writes of each class.
SCHEDULERS |= {
    f"{diffusers.__version__} {name}": {"_class_name": f"{name}Scheduler"}
    for name in ("DDIM", "DDPM", "PNDM", "EulerDiscrete", "HeunDiscrete", "LCM", "UniPCMultistep", "TCD")
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("models") / "model"
    save_pipeline(root)
    path = root / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 77}))
    return root


@pytest.fixture
def folder(made, tmp_path):
    """A folder whose JSON files may be written over."""

    def written(version, scheduler, index=None, unet=None):
        root = tmp_path / "model"
        shutil.copytree(made, root)
        for name, values in (
            ("scheduler/scheduler_config.json", scheduler),
            (
                "model_index.json",
                {"_diffusers_version": version, "scheduler": ["diffusers", scheduler["_class_name"]]}
                | (index or {}),
            ),
            ("unet/config.json", {"_diffusers_version": version} | (unet or {})),
        ):
            path = root / name
            before = {} if name.startswith("scheduler") else json.loads(path.read_text())
            path.write_text(json.dumps(before | values))
        return root

    return written


def compared(root, sampler=None, bound=1e-3, **loaded):
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(root, local_files_only=True, **loaded)
    theirs.set_progress_bar_config(disable=True)
    latents = theirs(
        "ab a", negative_prompt="b", num_inference_steps=6, guidance_scale=5.0, height=32, width=48,
        generator=torch.Generator("cpu").manual_seed(7), output_type="latent",
    ).images.numpy()  # fmt: skip
    with latentrt.load(root, device="cpu") as pipeline:
        ours = pipeline.txt2img(
            "ab a", negative_prompt="b", num_inference_steps=6, guidance_scale=5.0, height=32, width=48, seed=7,
            sampler=sampler,
        ).latents  # fmt: skip
        repairs = {repair.key for repair in pipeline.model.repairs}
    assert np.abs(latents).max() > 0.5
    assert np.abs(ours - latents).max() < bound * max(1, np.abs(latents).max())
    return theirs, repairs


# What today's writes is held to diffusers in test_pipeline.py, too.
TODAYS = [name for name in SCHEDULERS if name.startswith(diffusers.__version__)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in TODAYS and "TCD" not in name))
        for name in SCHEDULERS
    ],
)
def test_a_folder_of_each_version(folder, name):
    version = name.split()[0]
    given = SCHEDULERS[name]
    if version == diffusers.__version__:  # to be written by its own hand
        scheduler = getattr(diffusers, given["_class_name"])(**BETAS)
        given = json.loads(scheduler.to_json_string())
    theirs, repairs = compared(folder(version, {**BETAS, "_diffusers_version": version, **given}))
    if given.get("clip_sample", False) or name.startswith("0.2.2 DDIM"):
        assert "clip_sample" in repairs and theirs.scheduler.config.clip_sample is False
    if "steps_offset" in theirs.scheduler.config:
        assert theirs.scheduler.config.steps_offset == 1


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("0.2.2 PNDM", "DDIMScheduler"),
        ("0.4.0 DDIM", "EulerDiscreteScheduler"),
        *(
            pytest.param(name, sampler, marks=pytest.mark.slow)
            for name in ("0.4.0 DDIM", "0.9.0 Euler")
            for sampler in ("DDIMScheduler", "DDPMScheduler")
        ),
    ],
)
def test_another_sampler_of_an_old_folder(folder, name, sampler):
    """As a pipeline that is made with it: what is repaired is repaired for each."""
    config = {**BETAS, **SCHEDULERS[name]}
    scheduler = getattr(diffusers, sampler).from_config(config)
    compared(folder(name.split()[0], config), sampler, scheduler=scheduler)


def test_the_scheduler_class_of_the_index_wins(folder):
    config = {**BETAS, **SCHEDULERS["0.7.0.dev0 PNDM"]}
    theirs, repairs = compared(folder("0.7.0", config, {"scheduler": ["diffusers", "DDIMScheduler"]}))
    assert type(theirs.scheduler) is diffusers.DDIMScheduler and "_class_name" in repairs


@pytest.mark.parametrize("runge_kutta", [False, True])
def test_runge_kutta_steps_are_left_out_in_inpainting_alone(folder, runge_kutta):
    config = {**BETAS, "_class_name": "PNDMScheduler", "skip_prk_steps": not runge_kutta}
    theirs, _ = compared(folder("0.6.0", config))
    made = diffusers.StableDiffusionInpaintPipeline(**theirs.components)
    made.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (32, 48, 3), np.uint8)
    mask = np.zeros((32, 48), np.uint8)
    mask[8:24, 16:40] = 255
    from PIL import Image

    latents = made(
        "ab", image=Image.fromarray(picture), mask_image=Image.fromarray(mask), num_inference_steps=6, strength=1.0,
        guidance_scale=1.0, height=32, width=48, generator=torch.Generator("cpu").manual_seed(3), output_type="latent",
    ).images.numpy()  # fmt: skip
    with latentrt.load(theirs.config._name_or_path, device="cpu") as pipeline:
        ours = pipeline.inpaint(
            "ab", Image.fromarray(picture), Image.fromarray(mask), num_inference_steps=6, strength=1.0,
            guidance_scale=1.0, width=48, height=32, seed=3, mask_blur=0, overlay=False,
        ).latents  # fmt: skip
    assert np.abs(ours - latents).max() < 1e-3 * max(1, np.abs(latents).max())


@pytest.mark.parametrize(
    ("version", "size"),
    [("0.4.0", 8), ("0.8.1", 32), ("0.9.0", 8), ("0.21.0", 16), ("0.4.0", 64), ("0.42.1", [8, 12])],
)
def test_the_default_size(folder, version, size):
    root = folder(version, {**BETAS, **SCHEDULERS["0.4.0 PNDM"]}, unet={"sample_size": size})
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(root, local_files_only=True)
    sides = theirs.unet.config.sample_size
    height, width = sides if isinstance(sides, (list, tuple)) else (sides, sides)
    factor = theirs.vae_scale_factor
    assert latentrt.load(root, device="cpu").model.default_size == (width * factor, height * factor)
