"""SDXL and its kin against diffusers in torch, in small widths with random weights, as folders that it saved."""

import functools
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="compares with torch")

import diffusers  # noqa: E402
from checkpoints import make_xl  # noqa: E402
from PIL import Image  # noqa: E402

import latentrt  # noqa: E402
from latentrt import SettingError  # noqa: E402

STEPS = 8
SIZE = {"width": 80, "height": 64}
# What another case covers nearly.
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
SETTINGS = {"num_inference_steps": STEPS, "guidance_scale": 5.0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Makes a folder of what it is asked for, once, and gives it with the pipeline that diffusers loads of it."""
    kept = {}

    def make(name="base", kind=diffusers.StableDiffusionXLPipeline, **config):
        if name not in kept:
            folder = tmp_path_factory.mktemp("models") / name
            make_xl(**config).save_pretrained(folder)
            kept[name] = folder
        theirs = kind.from_pretrained(kept[name], local_files_only=True)
        theirs.set_progress_bar_config(disable=True)
        return kept[name], theirs

    return make


def seeded(seed=7):
    return torch.Generator("cpu").manual_seed(seed)


def latents_of(theirs, *arguments, **settings):
    return theirs(*arguments, generator=seeded(), output_type="latent", **settings).images.numpy()


def compare(ours, theirs, bound=1e-3):
    assert ours.shape == theirs.shape
    assert np.abs(theirs).max() > 0.5
    assert np.abs(ours - theirs).max() < bound * max(1, np.abs(theirs).max())


def painted(folder, run="txt2img", *arguments, **settings):
    with latentrt.load(folder, device="cpu") as pipeline:
        return getattr(pipeline, run)(*arguments, seed=7, **settings)


@pytest.mark.parametrize(
    "given",
    [
        SLOW({"negative_prompt": "b c"}),
        {},  # zeros stand for the negative prompt
        {"negative_prompt": ""},  # and the empty text for this one
        {"prompt_2": "c", "negative_prompt": "b", "negative_prompt_2": "a c"},
        SLOW({"negative_prompt": "b", "original_size": (9, 8), "crops_coords_top_left": (3, 5), "target_size": (7, 9)}),
        {
            "original_size": (100, 200), "negative_original_size": (30, 40), "negative_target_size": (50, 60),
            "crops_coords_top_left": (3, 5),
        },
        {
            "negative_prompt": "b", "negative_original_size": (30, 40), "negative_target_size": (50, 60),
            "negative_crops_coords_top_left": (7, 9),
        },
        SLOW({"guidance_scale": 1.0}),
        SLOW({"negative_prompt": "c", "guidance_rescale": 0.7}),
    ],
    ids=str,
)  # fmt: skip
def test_txt2img(saved, given):
    folder, theirs = saved()
    settings = {**SIZE, **SETTINGS, **given}
    compare(
        painted(folder, "txt2img", "ab a c", **settings).latents, latents_of(theirs, "ab a c", **settings)
    )


def test_the_empty_text_for_every_negative_prompt_where_the_index_says_so(saved):
    folder, theirs = saved("playground", force_zeros_for_empty_prompt=False)
    compare(
        painted(folder, "txt2img", "ab", **SIZE, **SETTINGS).latents,
        latents_of(theirs, "ab", **SIZE, **SETTINGS),
    )


def test_batches(saved):
    folder, theirs = saved()
    wanted = theirs(
        "ab a", negative_prompt="b", num_images_per_prompt=3, generator=[seeded(seed) for seed in (7, 8, 2)],
        output_type="latent", **SIZE, **SETTINGS,
    ).images.numpy()  # fmt: skip
    with latentrt.load(folder, device="cpu") as pipeline:
        ours = pipeline.txt2img("ab a", negative_prompt="b", seed=[7, 8, 2], batch_size=2, **SIZE, **SETTINGS)
    compare(ours.latents, wanted)


def test_pictures_and_the_default_size(saved):
    folder, theirs = saved()
    settings = {"num_inference_steps": 3, "guidance_scale": 3.0, "negative_prompt": "b"}
    picture = theirs("ab", generator=seeded(), **settings).images[0]
    result = painted(folder, "txt2img", "ab", **settings)
    assert result.images[0].size == picture.size == (64, 64)
    levels = np.abs(np.asarray(result.images[0]).astype(int) - np.asarray(picture))
    assert np.mean(levels <= 1) >= 0.999 and np.asarray(picture).std() > 1


def test_clip_skip_leaves_out_layers_of_both_encoders(saved):
    """diffusers leaves them out for the prompt alone; so its negative prompt is handed over as it is for the prompt."""
    folder, theirs = saved()
    embeds, _, pooled, _ = theirs.encode_prompt("b", clip_skip=1, do_classifier_free_guidance=False)
    wanted = latents_of(
        theirs,
        "ab",
        negative_prompt_embeds=embeds,
        negative_pooled_prompt_embeds=pooled,
        clip_skip=1,
        **SIZE,
        **SETTINGS,
    )
    compare(
        painted(folder, "txt2img", "ab", negative_prompt="b", clip_skip=1, **SIZE, **SETTINGS).latents, wanted
    )


@pytest.mark.parametrize(
    "given", [{}, {"original_size": (10, 20), "negative_target_size": (30, 40)}], ids=str
)
@pytest.mark.parametrize("strength", [0.4, pytest.param(1.0, marks=pytest.mark.slow)])
def test_img2img(saved, strength, given):
    folder, theirs = saved(kind=diffusers.StableDiffusionXLImg2ImgPipeline)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
    settings = {**SETTINGS, "negative_prompt": "b", "strength": strength, **given}
    wanted = latents_of(theirs, "ab", image=picture, **settings)
    compare(painted(folder, "img2img", "ab", picture, **settings).latents, wanted)


@pytest.mark.parametrize("channels", [4, 9])
def test_inpaint(saved, channels):
    folder, theirs = saved(
        f"inpaint{channels}", kind=diffusers.StableDiffusionXLInpaintPipeline, unet={"in_channels": channels}
    )
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (64, 80, 3), np.uint8))
    mask = np.zeros((64, 80), np.uint8)
    mask[16:48, 24:64] = 255
    settings = {**SETTINGS, "negative_prompt": "b", "strength": 0.6}
    wanted = latents_of(
        theirs, "ab", image=picture, mask_image=Image.fromarray(mask), height=64, width=80, **settings
    )
    ours = painted(
        folder, "inpaint", "ab", picture, Image.fromarray(mask), mask_blur=0, overlay=False, **settings
    )
    compare(ours.latents, wanted)


@pytest.mark.parametrize(
    "given", [{}, {"aesthetic_score": 7.5, "negative_aesthetic_score": 1.0, "original_size": (9, 8)}], ids=str
)
def test_a_refiner_paints_over_pictures(saved, given):
    folder, theirs = saved(
        "refiner",
        kind=diffusers.StableDiffusionXLImg2ImgPipeline,
        refiner=True,
        force_zeros_for_empty_prompt=False,
    )
    theirs.register_to_config(requires_aesthetics_score=True)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
    settings = {**SETTINGS, "negative_prompt": "b", "strength": 0.5, **given}
    wanted = latents_of(theirs, "ab", image=picture, **settings)
    compare(painted(folder, "img2img", "ab", picture, **settings).latents, wanted)


@pytest.mark.parametrize(
    ("name", "unet"),
    [
        ("ssd-1b", {
            "mid_block_type": "UNetMidBlock2D", "transformer_layers_per_block": [[1], [2], [2]],
            "reverse_transformer_layers_per_block": [[2, 3], [2, 1], [1, 1]],
        }),
        pytest.param("koala", {"mid_block_type": None}, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_distilled_unets(saved, name, unet):
    folder, theirs = saved(name, unet=unet)
    settings = {**SIZE, **SETTINGS, "negative_prompt": "b"}
    compare(painted(folder, "txt2img", "ab", **settings).latents, latents_of(theirs, "ab", **settings))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),  # Turbo, Lightning
        (
            "EulerDiscreteScheduler",
            {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        ),  # NoobAI
        ("EDMDPMSolverMultistepScheduler", {"sigma_max": 80.0, "sigma_min": 0.002}),  # Playground
        ("LCMScheduler", {}),  # DMD2
        ("TCDScheduler", {}),  # Hyper-SD
    ],
)
def test_schedulers_of_its_kin(saved, sampler, options, tmp_path):
    _, theirs = saved()
    kind = getattr(diffusers, sampler)
    own = {"sigma_max": 80.0} if sampler.startswith("EDM") else {**theirs.scheduler.config, **options}
    theirs.scheduler = kind.from_config(own)
    root = tmp_path / "model"
    theirs.save_pretrained(root)
    settings = {**SIZE, "num_inference_steps": 4, "guidance_scale": 1.0}
    if sampler == "TCDScheduler":
        settings["eta"] = 0.3  # its own default, in place of which diffusers' pipelines hand over 0
    compare(painted(root, "txt2img", "ab", **settings).latents, latents_of(theirs, "ab", **settings))


def test_latents_with_statistics(saved, tmp_path):
    _, theirs = saved()
    root = tmp_path / "model"
    theirs.save_pretrained(root)
    path = root / "vae" / "config.json"
    statistics = {
        "latents_mean": [-1.6, 1.8, -1.3, 2.5],
        "latents_std": [8.4, 5.9, 6.5, 5.2],
        "scaling_factor": 0.5,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | statistics))
    theirs = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(root, local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
    settings = {**SETTINGS, "negative_prompt": "b", "strength": 0.5}
    wanted = latents_of(theirs, "ab", image=picture, **settings)
    result = painted(root, "img2img", "ab", picture, **settings)
    compare(result.latents, wanted)
    picture = theirs("ab", image=picture, generator=seeded(), **settings).images[0]
    assert np.mean(np.abs(np.asarray(result.images[0]).astype(int) - np.asarray(picture)) <= 1) >= 0.999


def test_what_does_nothing_is_refused(saved):
    folder, _ = saved()
    with latentrt.load(folder, device="cpu") as pipeline:
        with pytest.raises(SettingError, match="aesthetic_score: does nothing here: base is told no scores"):
            pipeline.txt2img("a", aesthetic_score=5)
        with pytest.raises(SettingError, match="negative_prompt_2: does nothing without negative_prompt"):
            pipeline.txt2img("a", negative_prompt_2="b")
    with latentrt.load("demo", device="cpu") as pipeline:
        with pytest.raises(SettingError, match="target_size: does nothing here: demo is told no sizes"):
            pipeline.txt2img("a", target_size=(1, 2))
        with pytest.raises(SettingError, match="prompt_2: does nothing here: demo has one text encoder"):
            pipeline.txt2img("a", prompt_2="b")


@pytest.mark.parametrize(
    "given",
    [
        SLOW({}),
        {"negative_prompt": ""},
        {
            "negative_prompt": "b",
            "prompt_2": "c, a",
            "negative_prompt_2": "a: b",
            "original_size": (100, 200),
        },
        SLOW({"crops_coords_top_left": (3, 5), "negative_target_size": (50, 60), "negative_prompt": "b"}),
    ],
    ids=str,
)
def test_a_pictures_text_brings_all_of_it_back(saved, given, tmp_path):
    folder, _ = saved()
    settings = {**SIZE, **SETTINGS, **given}
    result = painted(folder, "txt2img", "ab", **settings)
    result.save(tmp_path / "x.png")
    recalled = latentrt.recall(latentrt.read_parameters(tmp_path / "x.png"))
    assert {name: recalled.get(name) for name in given} == given
    with latentrt.load(folder, device="cpu") as pipeline:
        again = pipeline.txt2img(**recalled)
    np.testing.assert_array_equal(again.latents, result.latents)


def ensemble(base, refiner, start, settings):
    """diffusers' ensemble of experts."""
    common = {"negative_prompt": "b", "output_type": "latent", **settings}
    begun = base("ab a", denoising_end=start, generator=seeded(), **SIZE, **common).images
    ended = refiner("ab a", image=begun, denoising_start=start, generator=seeded(), **common).images
    return begun.numpy(), ended.numpy()


@pytest.mark.parametrize(
    ("sampler", "start", "low_memory"),
    [
        pytest.param("EulerDiscreteScheduler", 0.8, False, marks=pytest.mark.slow),
        ("EulerDiscreteScheduler", 0.5, True),
        ("DPMSolverMultistepScheduler", 0.5, False),
    ],
)
def test_a_refiner_ends_a_run(saved, sampler, start, low_memory):
    base_folder, base = saved()
    folder, refiner = saved(
        "refiner",
        kind=diffusers.StableDiffusionXLImg2ImgPipeline,
        refiner=True,
        force_zeros_for_empty_prompt=False,
    )
    refiner.register_to_config(requires_aesthetics_score=True)
    kind = getattr(diffusers, sampler)
    base.scheduler, refiner.scheduler = (kind.from_config(one.scheduler.config) for one in (base, refiner))
    begun, ended = ensemble(base, refiner, start, SETTINGS)
    with (
        latentrt.load(base_folder, device="cpu", low_memory=low_memory) as first,
        latentrt.load(folder, device="cpu", low_memory=low_memory) as second,
    ):
        asked = {"negative_prompt": "b", "seed": 7, "sampler": sampler, **SIZE, **SETTINGS}
        steps = first.start_txt2img("ab a", refiner=second, refiner_start=start, **asked)
        seen = list(steps)
        result = steps.result()
    assert len(seen) == STEPS
    compare(result.latents, ended)
    assert np.abs(ended - begun).max() > 0.1
    assert ("Refiner", "refiner") in result.parameters[0].extra


def test_what_does_not_go_with_a_refiner_is_refused(saved):
    folder, _ = saved("refiner", refiner=True, force_zeros_for_empty_prompt=False)
    base_folder, _ = saved()
    with latentrt.load(base_folder, device="cpu") as first, latentrt.load(folder, device="cpu") as second:
        for settings, message in (
            ({"refiner": "x"}, "refiner: expected a Pipeline"),
            ({"refiner": second, "hires": latentrt.Hires()}, "refiner: does not go with hires"),
            (
                {"refiner": second, "refiner_start": 1.0},
                "refiner_start: expected more than 0 and less than 1",
            ),
            ({"refiner": second, "sampler": "heun"}, "refiner: heun asks its network more than once a step"),
            ({"refiner": second, "num_inference_steps": 1}, "leaves one of both models none"),
        ):
            with pytest.raises(SettingError, match=message):
                first.txt2img("a", **{**SIZE, **SETTINGS, **settings})
        with pytest.raises(latentrt.ModelError, match="is a refiner, which ends what another model began"):
            second.txt2img("a")
        demo = latentrt.load("demo", device="cpu")
        with pytest.raises(SettingError, match="refiner: refiner has other latents than demo"):
            demo.txt2img("a", refiner=second)
