"""What real texts mean: those that were once read wrong, and all that AUTOMATIC1111 wrote for its reference results."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from a1111_cases import CONTENTS, SAME

from latentrt.errors import InputError, SettingError
from latentrt.painting.picture_settings import RUNS
from latentrt.painting.recall import recall, recollect
from latentrt.painting.second_pass import Hires
from latentrt.painting.text_meaning import meaning, over_picture
from latentrt.pictures.writers import read_text, understood

A1111 = "how AUTOMATIC1111 computes"
HEART = {
    "prompt": "a large red heart on a blue background",
    "num_inference_steps": 4,
    "guidance_scale": 2.0,
    "seed": 7,
    "width": 128,
    "height": 128,
}
PLAIN = {**HEART, "sampler": "Euler a", "schedule": "normal"}
ON_GPU = {**PLAIN, "rng": "nv"}
WEBUI = {**ON_GPU, "like": "a1111"}
COMFY = {"rng": "cpu", "like": "comfyui"}
HIRES = Hires(2.0, steps=4, strength=0.3, upscaler="Latent")

# The file, who wrote it, what comes of it, and what is named as not heeded.
CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "01-schedule-automatic.png": (
        "AUTOMATIC1111 v1.10.1",
        {**WEBUI, "num_inference_steps": 20, "sampler": "DPM++ 2M", "schedule": "karras"},
        (),
    ),
    "02-schedule-uniform.png": (
        "AUTOMATIC1111 v1.10.1",
        {**WEBUI, "sampler": "DPM++ 2M", "schedule": "uniform"},
        (),
    ),
    "03-a1111-no-version.png": ("AUTOMATIC1111", WEBUI, ()),
    "03-sdcpp-rng-cuda.png": ("stable-diffusion.cpp", WEBUI, ()),
    "03-sdnext-hash-f.png": ("SD.Next f1f00d7", {**HEART, "sampler": "Euler a"}, ()),
    "04-fooocus-json.png": (
        "Fooocus v2.5.0",
        {**HEART, **COMFY, "sampler": "DPM++ 2M SDE", "schedule": "karras"},
        ("fresh noise of the GPU",),
    ),
    "04-neg-and-steps-one-line.png": (
        "AUTOMATIC1111 v1.10.1",
        {**WEBUI, "negative_prompt": "blurry"},
        (),
    ),
    "04-template-after.png": ("AUTOMATIC1111 v1.10.1", {**WEBUI, "negative_prompt": "blurry"}, ()),
    "05-denoising-without-hires.png": (
        "AUTOMATIC1111 v1.3.0",
        {**WEBUI, "downcast_alphas": True},
        ("Denoising strength (of a picture that may have been painted over another)",),
    ),
    "06-hires-resize-256x0.png": (
        "AUTOMATIC1111 v1.10.1",
        {**WEBUI, "hires": Hires(size=(256, 256), steps=4, strength=0.5, upscaler="Latent")},
        (),
    ),
    "06-sdnext-hires.png": ("SD.Next a1f00d7", {**HEART, "sampler": "Euler a", "hires": HIRES}, ()),
    "08-utf8-in-text-chunk.png": ("AUTOMATIC1111", {**WEBUI, "prompt": "ein großes Herz ♥"}, ()),
    "09-eta-ancestral.png": ("AUTOMATIC1111 v1.10.1", {**WEBUI, "eta": 0.5}, ()),
    "10-k_euler.png": ("AUTOMATIC1111", {**WEBUI, "sampler": "Euler"}, ()),
    "12-cfg-capital.png": (
        "ComfyUI",
        {**PLAIN, **COMFY, "guidance_scale": 9.0, "schedule": "karras"},
        (),
    ),
    "13-usercomment-in-ifd0.jpg": ("Fooocus v2.5.0", {**PLAIN, **COMFY}, ()),
    "14-usercomment-bom.jpg": ("AUTOMATIC1111", WEBUI, ()),
}


@pytest.fixture(scope="session")
def cases(data_file) -> Path:
    return data_file("cases/README.md").parent / "metadata"


def test_every_case_has_its_test(cases):
    assert {path.name for path in cases.iterdir()} == {*CASES, "06-hires-resrgan.png", "07-emphasis-lora.png"}


@pytest.mark.parametrize("name", CASES)
def test_a_text_means_what_its_program_meant(cases, name):
    writer, settings, unheeded = CASES[name]
    text = read_text(cases / name)
    assert text.made_by == writer
    recalled, meant = recollect(text, {})
    assert recalled == settings
    assert meant.unheeded == unheeded
    assert meant.untold == ()


def test_a_random_seed_is_none_of_a_text(cases):
    """As older versions wrote it, from Python."""
    recalled, meant = recollect(read_text(cases.parent / "cli" / "seed-minus-1-from-python.png"), {})
    assert "seed" not in recalled
    assert meant.untold == ("Seed",)


def test_an_upscaler_that_is_not_here_is_refused(cases):
    text = read_text(cases / "06-hires-resrgan.png")
    with pytest.raises(
        SettingError, match=r"'R-ESRGAN 4x\+', is not here; .* lanczos .*hires=None, --hires off"
    ):
        recollect(text, {})
    recalled, _ = recollect(text, {}, second=["upscaler"])
    assert recalled["hires"] == Hires(2.0, steps=4, strength=0.5)
    recalled, _ = recollect(text, {"hires": None})
    assert recalled == WEBUI


def test_prompt_grammar_is_refused_and_what_is_not_heeded_is_named(cases):
    text = read_text(cases / "07-emphasis-lora.png")
    with pytest.raises(
        InputError, match=r"attention, '\(masterpiece:1\.2\)'; a network, '<lora:x:0\.8>'; .*--plain"
    ):
        recollect(text, {})
    recalled, meant = recollect(text, {}, plain=True)
    assert recalled == {**WEBUI, "prompt": f"{HEART['prompt']} (masterpiece:1.2) <lora:x:0.8>"}
    assert meant.unheeded == ("Lora hashes", "Refiner", "Refiner switch at", "Tiling")
    assert recollect(text, {"prompt": "a star"})[0]["prompt"] == "a star"


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        *((name, "karras") for name in ("DPM++ 2M", "DPM++ SDE", "DPM++ 2S a", "DPM2", "DPM2 a")),
        *((name, "exponential") for name in ("DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE")),
        *((name, "normal") for name in ("Euler", "Euler a", "LMS", "Heun")),
        *((name, None) for name in ("DDIM", "PLMS", "UniPC", "LCM")),
    ],
)
@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")
def test_automatic_is_the_samplers_own_schedule(sampler, schedule):
    entries = "CFG scale: 2, Seed: 7, Size: 128x128"
    recalled = recall(
        f"x\nSteps: 4, Sampler: {sampler}, Schedule type: Automatic, {entries}, Version: v1.10.1"
    )
    assert (recalled["sampler"], recalled.get("schedule")) == (sampler, schedule)
    # Before 1.9 the schedule stood in the name, and no schedule there was none.
    old = recall(f"x\nSteps: 4, Sampler: {sampler}, {entries}, Version: v1.8.0")
    assert old.get("schedule") == (None if schedule is None else "normal")


@pytest.mark.parametrize(
    ("said", "kind", "sampler", "schedule"),
    [
        ("DPM++ 2M Karras", "Karras", "DPM++ 2M", "karras"),
        ("DPM++ 2M Karras", "", "DPM++ 2M", "karras"),
        ("DPM++ 2M Karras", "Automatic", "DPM++ 2M", "karras"),
        ("DPM++ 2M", "automatic", "DPM++ 2M", "karras"),
        ("k_dpm_2_a", "", "DPM2 a", "normal"),
        ("k_euler_ancestral", "karras", "Euler a", "karras"),
        ("DDIM", "Karras", "DDIM", None),  # passed over there
    ],
)
@pytest.mark.filterwarnings("ignore::latentrt.NotHeeded")
def test_samplers_and_schedules_in_many_words(said, kind, sampler, schedule):
    kind = f", Schedule type: {kind}" if kind else ""
    recalled = recall(
        f"x\nSteps: 4, Sampler: {said}{kind}, CFG scale: 2, Seed: 7, Size: 8x8, Version: v1.10.1"
    )
    assert (recalled["sampler"], recalled.get("schedule")) == (sampler, schedule)


# What the program's settings are called here.
SETTINGS = {
    "steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "width": "width",
    "height": "height",
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "subseed_strength": "variation_strength",
    "eta": "eta",
}
NORMAL = {"Normal"}
# Options that the program does not write into its text.
UNSAID = {
    "enable_quantization",
    "eta_noise_seed_delta",
    "img2img_fix_steps",
    "uni_pc_variant",
    "initial_noise_multiplier",
}


def test_every_text_of_automatic1111_gives_its_settings(data_file):
    """Or is refused: prompt grammar by name, samplers and schedules that are not here by the picture's entry."""
    index = json.loads(data_file("a1111/index.json").read_text(encoding="utf-8"))
    texts = plain = 0
    refused: dict[str, list[str]] = {}
    for case in index["cases"]:
        also = [one["text"] for one in case.get("also_texts", ())]
        for place, written in enumerate([*case["infotexts"], *also]):
            texts += 1
            text = understood(written)
            assert text.writer.name == "AUTOMATIC1111", case["name"]
            number = 0 if place >= len(case["infotexts"]) else place
            try:
                check(case, text, number, plain=False)
            except SettingError as error:
                assert "is not here" in str(error)
                refused.setdefault(error.setting, []).append(case["name"])
            except InputError as error:
                assert "was no plain text to AUTOMATIC1111" in str(error), case["name"]
                assert case["kind"] in ("prompt", "emphasis", "hires")
                check(case, text, number, plain=True)
                plain += 1
    assert texts >= 86 + len([case for case in index["cases"] if case.get("also_texts")])
    assert plain == sum(
        len(case["infotexts"]) for case in index["cases"] if has_grammar(case["settings"]["prompt"])
    )


def has_grammar(prompt: str) -> bool:
    return any(sign in prompt for sign in "([") or " BREAK " in prompt or " AND " in prompt


def check(case: dict[str, Any], text: Any, number: int, *, plain: bool) -> None:
    settings, name = case["settings"], case["name"]
    over = "init_images" in settings
    assert over_picture(text) == over, name
    run = "inpaint" if "mask" in settings else "img2img" if over else "txt2img"
    meant = meaning(text, RUNS[run], plain=plain)
    got = meant.settings
    recalled, _ = recollect(text, {}, plain=plain, run=run)
    assert recalled == {key: value for key, value in got.items() if value is not None}, name
    with pytest.raises(
        InputError, match="painted over another picture" if over else "painted from noise alone"
    ):
        recollect(text, {}, plain=True, run="txt2img" if over else "img2img")
    for theirs, ours in SETTINGS.items():
        wanted = settings.get(theirs)
        if wanted not in (None, ""):
            assert got[ours] == wanted, (name, ours)
    assert got["seed"] == settings["seed"] + (0 if settings.get("subseed_strength") else number), name
    if settings.get("subseed_strength"):
        assert got["variation_seed"] == settings["subseed"] + number, name
    options = settings["override_settings"]
    assert (got["rng"] or "cpu") == {"NV": "nv", "GPU": "nv", "CPU": "cpu"}[
        options.get("randn_source", "GPU")
    ], name
    assert got["sampler"] == settings["sampler_name"], name
    if settings["scheduler"] not in ("Automatic", "DDIM") and got["schedule"] is not None:
        wanted = (
            "normal" if settings["scheduler"] in NORMAL else settings["scheduler"].lower().replace(" ", "_")
        )
        assert got["schedule"] == wanted, name
    assert (
        got["clip_skip"] == (options.get("CLIP_stop_at_last_layers") or 1) - 1 or got["clip_skip"] is None
    ), name
    if over:
        assert got["strength"] == settings["denoising_strength"], name
    if run == "inpaint":
        assert got["mask_blur"] == settings["mask_blur"], name
        padding = settings["inpaint_full_res_padding"] if settings["inpaint_full_res"] else None
        assert got["padding_mask_crop"] == padding, name
        content = CONTENTS[settings["inpainting_fill"]]
        assert got["masked_content"] == (None if content == "original" else content), name
    if settings.get("enable_hr"):
        hires = got["hires"]
        assert (hires.scale, hires.strength) == (settings["hr_scale"], settings["denoising_strength"]), name
        assert (hires.upscaler, hires.steps) == (settings["hr_upscaler"], settings["steps"]), name
    for theirs, ours in SAME.items():
        if (
            theirs in options and theirs not in UNSAID and name != "noise_euler_a_ignored"
        ):  # which it does not write
            assert got[ours] == options[theirs], (name, ours)
    others = {"randn_source", "CLIP_stop_at_last_layers", "emphasis", "sd_noise_schedule"}
    if options.keys() - UNSAID - SAME.keys() - others:
        assert meant.unheeded, name


@pytest.mark.filterwarnings("error")
def test_a_warning_is_one(data_file):
    index = json.loads(data_file("a1111/index.json").read_text(encoding="utf-8"))
    text = next(case for case in index["cases"] if case["name"] == "prompt_long_padded")["infotexts"][0]
    text = text.replace("Pad conds", "Tiling")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recall(text)
    assert [str(one.message) for one in told] == ["the picture will look different: not heeded here: Tiling"]
