"""`recall`: from a picture's text to the arguments of txt2img."""

import warnings

import numpy as np
import pytest

import latentrt
from latentrt.errors import InputError, SettingError
from latentrt.painting.recall import NotHeeded, NotTold, recall
from latentrt.painting.second_pass import Hires
from latentrt.pictures.metadata import format_parameters

pytestmark = pytest.mark.filterwarnings("ignore::latentrt.NotTold")  # of short texts
QUICK = {"width": 64, "height": 64, "num_inference_steps": 2}
OURS = "Version: latentrt 0.1.0"


@pytest.fixture(scope="module")
def pipeline(random_model):
    with latentrt.load(random_model, device="cpu") as opened:
        yield opened


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 5, "negative_prompt": "blue", "sampler": "ddim", "eta": 0.5, "clip_skip": 1},
        {"seed": 5, "sampler": "dpmpp_2m", "schedule": "karras", "guidance_scale": (3.0, 1.5), "rng": "nv"},
        {"seed": 5, "variation_seed": 6, "variation_strength": 0.5, "guidance_rescale": 0.5},
        {"seed": 5, "guidance_interval": (0.0, 0.5), "hires": Hires(1.5, steps=2, strength=0.5)},
        {"seed": 5, "hires": Hires(size=(96, 96), upscaler="lanczos")},
        {"seed": 5, "num_images": 2},
    ],
)
def test_a_picture_comes_again_from_its_text(pipeline, settings):
    result = pipeline.txt2img("a ring", **QUICK, **settings)
    recalled = recall(format_parameters(result.parameters[-1]))
    again = pipeline.txt2img(**recalled)
    np.testing.assert_array_equal(again.latents, result.latents)
    assert again.parameters == result.parameters
    assert recalled["prompt"] == "a ring"
    assert {name: recalled[name] for name in settings if name not in ("sampler", "schedule", "hires")} == {
        name: value for name, value in settings.items() if name not in ("sampler", "schedule", "hires")
    }


@pytest.mark.parametrize("seed", [-1, None, [-1]])
def test_a_random_seed_is_drawn_and_the_picture_says_which(pipeline, seed):
    one, other = (pipeline.txt2img("a ring", **QUICK, seed=seed) for _ in range(2))
    assert one.seeds != other.seeds  # once in four thousand million times
    assert [one.parameters[0].seed] == one.seeds
    assert f"Seed: {one.seeds[0]}, " in format_parameters(one.parameters[0])
    again = pipeline.txt2img(**recall(format_parameters(one.parameters[0])))
    np.testing.assert_array_equal(again.latents, one.latents)


def test_what_is_given_wins():
    text = (
        f"a ring\nSteps: 9, Sampler: Euler, CFG scale: 3, Seed: 5, Variation seed: 6, Variation seed strength: 0.5, "
        f"Size: 64x32, Sigma schedule: beta, Hires upscale: 2, Hires upscaler: Latent, Denoising strength: 0.5, {OURS}"
    )
    plain = recall(text)
    assert plain == {
        "prompt": "a ring",
        "width": 64,
        "height": 32,
        "num_inference_steps": 9,
        "sampler": "Euler",
        "schedule": "beta",
        "guidance_scale": 3.0,
        "seed": 5,
        "variation_seed": 6,
        "variation_strength": 0.5,
        "hires": Hires(2.0, steps=9, strength=0.5, upscaler="Latent"),
    }
    assert recall(text, prompt="a star", num_inference_steps=3) == {
        **plain,
        "prompt": "a star",
        "num_inference_steps": 3,
    }
    assert "hires" not in recall(text, hires=None)
    assert "schedule" not in recall(text, sampler="ddim")
    assert recall(text, seed=[5])["variation_seed"] == 6
    assert {"variation_seed", "variation_strength"}.isdisjoint(recall(text, seed=7))


@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")  # whose way of computing: test_text_cases.py
@pytest.mark.parametrize(
    ("entries", "recalled"),
    [
        (
            "Sampler: Euler a, Schedule type: Karras, Version: v1.10.1",
            {"sampler": "Euler a", "schedule": "karras", "rng": "nv", "like": "a1111"},
        ),
        ("RNG: GPU, Version: v1.10.1", {"rng": "nv"}),
        ("RNG: CPU, Version: f2.0", {}),
        ("Clip skip: 2, Eta: 0.5", {"clip_skip": 1, "eta": 0.5, "rng": "nv"}),
        # what means something else there, or nothing, is not believed
        ("CFG schedule: 9 3, CFG interval: 0 0.5, Sampler class: X, Version: v1.10.1", {"rng": "nv"}),
        ("Batch size: 4, Batch pos: 2, Version: v1.10.1", {"rng": "nv"}),
        (f"Batch size: 4, Batch pos: 2, {OURS}", {"num_images": 4}),
        (f"CFG scale: 9, CFG schedule: 9 3, {OURS}", {"guidance_scale": (9.0, 3.0)}),
    ],
)
def test_whose_entry_means_what(entries, recalled):
    assert recall(f"x\nSteps: 2, {entries}") == {
        "prompt": "x",
        "num_inference_steps": 2,
        **recalled,
    }


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ("Denoising strength: 0.5, Version: v1.10.1", InputError, "painted over another picture"),
        ("Denoising strength: 0.5, Mask blur: 4", InputError, "painted over another picture"),
        (f"Denoising strength: 0.5, {OURS}", InputError, "painted over another picture"),
        ("Script: X/Y/Z plot, X Type: Steps", InputError, "grid of pictures over Steps"),
        ("Eta: 5", SettingError, "eta: expected a number from 0 to 1, got 5"),
        ("CFG scale: many", SettingError, "guidance_scale: expected"),
        ("Size: 900000x900000", SettingError, "width: expected at most"),
        (f"CFG interval: 1 0, {OURS}", SettingError, "guidance_interval: expected"),
        ("Hires upscaler: Latent", InputError, "second pass .* has no size"),
        ("Hires resize: 0x0, Hires upscaler: Latent", InputError, "second pass .* has no size"),
        (
            "Hires resize: 64x0, Hires upscaler: Latent, Size: 0x0",
            SettingError,
            "width: expected sides of 1 or",
        ),
        (
            "Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+",
            SettingError,
            "Hires upscaler, 'R-ESRGAN 4x.', is not here",
        ),
        ("Sampler: Foo", SettingError, "sampler: the picture's Sampler, 'Foo', is not here; say another"),
        (
            "Sampler: Euler, Schedule type: Foo",
            SettingError,
            "schedule: the picture's Schedule type, 'Foo', is not",
        ),
    ],
)
def test_refused(entries, error, message):
    with pytest.raises(error, match=message):
        recall(f"x\nSteps: 2, Seed: 1, {entries}")


@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")
@pytest.mark.parametrize(
    ("entries", "given"),
    [
        ("Sampler: Foo, Schedule type: Bar", {"sampler": "euler"}),
        ("Sampler: Euler, Schedule type: Bar", {"schedule": "karras"}),
        ("CFG scale: many", {"guidance_scale": 2.0}),
        ("Size: big", {"width": 64, "height": 64}),
        ("Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+", {"hires": Hires(2.0)}),
        ("Hires upscale: 2, Hires upscaler: R-ESRGAN 4x+", {"hires": None}),
    ],
)
def test_what_is_given_wins_over_what_is_not_here(entries, given):
    recalled = recall(f"x\nSteps: 2, Seed: 1, {entries}", **given)
    assert {name: recalled.get(name) for name in given} == given


@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")
def test_the_same_sampler_by_another_name_keeps_its_schedule():
    text = "x\nSteps: 2, Seed: 1, Sampler: Euler a, Schedule type: Karras, Eta: 0.5"
    for name in ("Euler a", "euler_ancestral", "k_euler_a"):
        recalled = recall(text, sampler=name)
        assert (recalled["sampler"], recalled["schedule"], recalled["eta"]) == (name, "karras", 0.5)
    assert {"schedule", "eta"}.isdisjoint(recall(text, sampler="euler"))


def test_what_is_not_heeded_is_warned_of_once():
    with pytest.warns(NotHeeded, match="not heeded here: Foo, Tiling, how AUTOMATIC1111 computes") as told:
        recall(
            "x\nSteps: 2, CFG scale: 2, Seed: 1, Size: 8x8, NGMS: 0, Foo: 1, Tiling: True, Version: v1.10.1"
        )
    assert len(told) == 1
    assert told[0].message.names == ("Foo", "Tiling", "how AUTOMATIC1111 computes")


@pytest.mark.filterwarnings("default::latentrt.NotTold")
def test_what_makes_a_picture_and_is_not_told_is_said():
    text = f"x\nSampler: Euler, Seed: -1, {OURS}"
    with pytest.warns(NotTold) as told:
        assert recall(text) == {"prompt": "x", "sampler": "Euler"}
    assert told[0].message.names == ("Steps", "Seed", "CFG scale", "Size")
    given = {"num_inference_steps": 2, "seed": 1, "guidance_scale": 2.0, "width": 8, "height": 8}
    with warnings.catch_warnings(action="error"):
        recall(text, **given)


def test_what_is_given_is_checked():
    with pytest.raises(SettingError, match="foo: txt2img has no such setting"):
        recall("x\nSteps: 2, Seed: 1", foo=3)
    with pytest.raises(SettingError, match="text: expected text, got None"):
        recall(None)


def test_what_goes_with_another_value_is_left_out():
    text = f"x\nSteps: 2, Sampler: DDIM, Seed: 1, Eta: 0.5, Variation seed: 6, Variation seed strength: 0.5, {OURS}"
    plain = recall(text)
    assert (plain["eta"], plain["variation_seed"]) == (0.5, 6)
    assert "eta" not in recall(text, sampler="euler")
    assert recall(text, sampler="DDIM") == plain
    assert "variation_seed" not in recall(text, variation_strength=0)
    assert recall(text, variation_strength=0, variation_seed=7)["variation_seed"] == 7
    assert "variation_seed" not in recall(text, seed=np.array([3, 4]))
