"""Models of one to eight steps against diffusers, told by their makers' advice alone, in small random networks."""

import functools
import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_xl

import latentrt

SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
SIZE = {"width": 80, "height": 64}
OFF = {"guidance_scale": 0}
CASES = {
    # name: scheduler, its options, the maker's advice, what diffusers is told
    "SDXL-Turbo": (
        "EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"},
        {**OFF, "num_inference_steps": 1}, {"num_inference_steps": 1},
    ),
    "Lightning, 4": (
        "EulerDiscreteScheduler", {"timestep_spacing": "trailing"},
        {**OFF, "num_inference_steps": 4}, {"num_inference_steps": 4},
    ),
    "Lightning, 1, predicts the picture": (
        "EulerDiscreteScheduler", {"timestep_spacing": "trailing", "prediction_type": "sample"},
        {**OFF, "num_inference_steps": 1}, {"num_inference_steps": 1},
    ),
    "DMD2": (
        "LCMScheduler", {},
        {**OFF, "timesteps": [999, 749, 499, 249]}, {"timesteps": [999, 749, 499, 249]},
    ),
    "DMD2, 1": ("LCMScheduler", {}, {**OFF, "timesteps": [399], "num_inference_steps": 1}, {"timesteps": [399]}),
    "Hyper-SD, 1": (
        "TCDScheduler", {},
        {**OFF, "timesteps": [800], "eta": 1.0, "sampler": "tcd"}, {"timesteps": [800], "eta": 1.0},
    ),
    "Hyper-SD, 8": (
        "DDIMScheduler", {"timestep_spacing": "trailing"},
        {**OFF, "num_inference_steps": 8}, {"num_inference_steps": 8},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "xl"
    make_xl().save_pretrained(folder)
    return folder


@pytest.fixture
def model(networks, tmp_path):
    """Makes a folder of the networks with another scheduler and a maker's advice, and diffusers' pipeline of it."""

    def make(scheduler, options, advice=None):
        root = tmp_path / "model"
        if not root.exists():
            shutil.copytree(networks, root)
        kind = getattr(diffusers, scheduler)
        theirs = diffusers.StableDiffusionXLPipeline.from_pretrained(root, local_files_only=True)
        theirs.scheduler = kind.from_config({**theirs.scheduler.config, **options})
        theirs.scheduler.save_pretrained(root / "scheduler")
        index = root / "model_index.json"
        index.write_text(json.dumps({**json.loads(index.read_text()), "scheduler": ["diffusers", scheduler]}))
        (root / "generation_config.json").write_text(json.dumps(advice or {}))
        theirs.set_progress_bar_config(disable=True)
        return root, theirs

    return make


def compare(root, theirs, told, settings=None, seed=7):
    wanted = theirs(
        "ab a", generator=torch.Generator("cpu").manual_seed(seed), output_type="latent", **SIZE, **told
    ).images.numpy()
    with latentrt.load(root, device="cpu") as pipeline:
        result = pipeline.txt2img("ab a", seed=seed, **SIZE, **(settings or {}))
    assert np.abs(wanted).max() > 0.5
    assert np.abs(result.latents - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())
    return result


# What another case covers nearly.
NEARLY = ("Lightning, 4", "DMD2, 1", "Hyper-SD, 8")


@pytest.mark.parametrize("case", [SLOW(case) if case in NEARLY else case for case in CASES])
def test_what_its_maker_advises_is_what_diffusers_is_told(model, case):
    scheduler, options, advice, told = CASES[case]
    root, theirs = model(scheduler, options, advice)
    result = compare(root, theirs, {**OFF, **told})
    recalled = latentrt.recall(_text(result))
    assert recalled.get("timesteps") == (None if "timesteps" not in told else tuple(told["timesteps"]))
    assert recalled.get("eta") == told.get("eta")
    with latentrt.load(root, device="cpu") as pipeline:
        again = pipeline.txt2img(**recalled)
    np.testing.assert_array_equal(again.latents, result.latents)


def _text(result):
    from latentrt.pictures.metadata import format_parameters

    return format_parameters(result.parameters[0])


@pytest.mark.parametrize(
    ("scheduler", "told"),
    [
        ("EulerDiscreteScheduler", {"timesteps": [999, 850, 500, 120]}),
        ("EulerDiscreteScheduler", {"sigmas": [14.6, 4.0, 1.5, 0.3, 0.0]}),
        SLOW("DPMSolverMultistepScheduler", {"timesteps": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24]}),
    ],
)
def test_a_schedule_number_by_number(model, scheduler, told):
    """The last is Align Your Steps for Stable Diffusion 1.x."""
    root, theirs = model(scheduler, {})
    settings = {"guidance_scale": 4.0, "negative_prompt": "b", **told}
    result = compare(root, theirs, settings, settings)
    ((name, numbers),) = told.items()
    assert result.parameters[0].told[name] == tuple(numbers)
