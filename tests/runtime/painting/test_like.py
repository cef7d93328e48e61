"""Pictures as other programs paint them, from the same settings: held to what those programs computed."""

import numpy as np
import pytest
from a1111_cases import ALPHAS, asked, read_case
from comfy_cases import read_case as read_comfy
from PIL import Image

import latentrt
from latentrt.errors import SettingError
from latentrt.models import published
from latentrt.noise import TorchGenerator
from latentrt.painting.programs import PROGRAMS
from latentrt.painting.recall import NotHeeded, recall
from latentrt.pictures.metadata import format_parameters
from latentrt.samplers import resolve
from latentrt.samplers.step import ancestral_noise

A1111, COMFY = "a1111/index.json", "comfy/index.json"
PAINTED = (
    "sampler_euler", "sampler_lms", "sampler_heun", "sampler_dpm2_a", "sampler_dpmpp_2s_a", "sampler_dpmpp_sde",
    "sampler_dpmpp_2m_sde_heun", "schedule_uniform_euler", "schedule_karras_euler", "schedule_karras_dpmpp_2m",
    "schedule_exponential_euler", "schedule_exponential_dpmpp_2m", "schedule_polyexponential_euler",
    "schedule_polyexponential_dpmpp_2m", "schedule_sgm_uniform_dpmpp_2m", "schedule_normal_dpmpp_2m",
    "schedule_ddim_euler", "schedule_ddim_dpmpp_2m", "rng_cpu_euler", "rng_cpu_euler_a", "rng_cpu_dpmpp_sde",
    "batch_euler", "batch_euler_a", "variation_batch", "variation_cpu", "eta_euler_a", "eta_dpmpp_2s_a",
    "eta_dpmpp_2m_sde", "eta_euler_a_0", "noise_euler_a_ignored", "ensd_dpmpp_2m_sde", "img2img_03", "img2img_06",
    "img2img_dpmpp_2m_sde", "img2img_03_exact", "img2img_06_exact", "img2img_noise_multiplier",
    "seed_resize_variation", "churn_dpm2", "noise_dpm2_a", "option_discard_penultimate", "option_rho",
    "option_ngms", "option_skip_early_cond", "option_quantization", "option_quantization_euler", "clip_skip_2",
    "sampler_ddim", "sampler_ddim_cfgpp", "sampler_plms", "sampler_unipc_12", "option_unipc_bh2",
    "seed_resize_ddim_eta", "option_ztsnr_euler", "option_ztsnr_ddim", "ensd_ddim_eta", "img2img_ddim_06",
    "img2img_ddim_06_exact", "img2img_dpm_fast", "prompt_long_negative", "prompt_long_padded", "sampler_lcm",
    "hires_latent", "hires_other_sampler", "hires_other_prompt", "hires_ddim",
)  # fmt: skip


@pytest.fixture(scope="module")
def demo():
    with latentrt.load("demo", device="cpu") as pipeline:
        yield pipeline


@pytest.mark.parametrize("name", PAINTED)
def test_automatic1111s_pictures(name, demo, data_file):
    index = data_file(A1111)
    case = read_case(index, name)
    s = case.settings
    if "init_images" in s:
        with Image.open(index.parent / s["init_images"][0]) as image:
            result = demo.img2img(s["prompt"], image, strength=s["denoising_strength"], **asked(case))
    else:
        result = demo.txt2img(s["prompt"], **asked(case))
    np.testing.assert_allclose(result.latents, case.arrays["final"], rtol=0, atol=case.tolerance)
    levels = np.abs(np.stack([np.int16(image) for image in result.images]) - case.arrays["images"])
    # Cut, not rounded, which would be seen in half of them; a level at its very edge may fall to either side.
    assert levels.max() <= 1
    assert np.mean(levels != 0) < 0.01


@pytest.mark.parametrize("name", ["batch_euler", "batch_euler_a", "variation_batch"])
def test_automatic1111s_batch_count_is_its_batch_size(name, demo, data_file):
    """Each picture has noise of its own, whatever is painted at a time."""
    case = read_case(data_file(A1111), name)
    result = demo.txt2img(case.settings["prompt"], **asked(case), batch_size=1)
    np.testing.assert_allclose(result.latents, case.arrays["final"], rtol=0, atol=case.tolerance)


# What a text does not say: options of the program's own settings.
UNSAID = {
    "option_quantization", "option_quantization_euler", "img2img_03_exact", "img2img_06_exact", "img2img_ddim_06_exact",
    "option_unipc_bh2", "ensd_ddim_eta",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in PAINTED if name not in UNSAID])
def test_automatic1111s_pictures_from_their_own_texts(name, demo, data_file):
    index = data_file(A1111)
    case = read_case(index, name)
    over = "init_images" in case.settings
    for place, text in enumerate(case.infotexts):
        told = recall(text, run="img2img" if over else "txt2img")
        assert told["like"] == "a1111"
        if over:
            with Image.open(index.parent / case.settings["init_images"][0]) as image:
                result = demo.img2img(told.pop("prompt"), image, **told)
        else:
            result = demo.txt2img(**told)
        np.testing.assert_allclose(
            result.latents, case.arrays["final"][place : place + 1], rtol=0, atol=case.tolerance
        )


# With the timesteps that ComfyUI takes of sigmas that lie as near to one as to the next.
SCHEDULED = (
    "sampler_euler", "sampler_dpm_2", "sampler_dpmpp_3m_sde", "sched_sgm_uniform_euler", "sched_karras_dpmpp_2m",
    "sched_ddim_uniform_euler", "sched_beta_dpmpp_2m", "sched_linear_quadratic_euler", "steps_1", "denoise_0.6",
    "denoise_1.0", "denoise_0.6_karras_2m", "denoise_0.45_dpm_2",
)  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULED)
def test_comfyuis_sigmas_to_the_bit(name, data_file):
    case = read_comfy(data_file(COMFY), name)
    node, inputs = case.node("KSampler")
    program = PROGRAMS["comfyui"]
    sampler = resolve(inputs["sampler_name"], published.SD1_SCHEDULER, inputs["scheduler"])
    count, kept = inputs["steps"], None
    if inputs["denoise"] < 1:
        count, kept = program.img2img(count, inputs["denoise"])
    schedule = sampler.schedule(count, convention=program.convention)
    if kept is not None:
        schedule = schedule.since((count - kept) * schedule.order)
    sigmas = np.append(schedule.sigmas[:-1][:: schedule.order], schedule.sigmas[-1])
    np.testing.assert_array_equal(sigmas.astype(np.float32), case.arrays[f"sigmas_{node}"])
    if f"timesteps_{node}" in case.arrays:
        np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


def test_a_tie_goes_to_the_timestep_that_float32_says(data_file):
    """Sigmas of 3, 5 and 9 steps of `normal` lie between timesteps 499 and 500."""
    program = PROGRAMS["comfyui"]
    sampler = resolve("euler", published.SD1_SCHEDULER, "normal")
    told = [sampler.schedule(n, convention=program.convention).timesteps[(n - 1) // 2] for n in (3, 5, 9)]
    assert told == [500, 500, 500]


@pytest.mark.parametrize("like", ["a1111", "comfyui"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampler": "tcd"}, "tcd is not computed as"),
        ({"timesteps": [900.0, 400.0]}, "timesteps is not computed as"),
    ],
)
def test_what_is_not_computed_as_there_is_refused(demo, like, given, words):
    with pytest.raises(SettingError, match=words):
        demo.start_txt2img("a heart", like=like, **given)


@pytest.mark.parametrize(
    ("like", "hires", "words"),
    [
        (
            "comfyui",
            latentrt.Hires(upscaler="nearest"),
            "Nearest is not computed as comfyui does; expected one of",
        ),
        ("a1111", latentrt.Hires(upscaler="latent-bislerp"), "bislerp. is not computed as a1111 does"),
        ("a1111", latentrt.Hires(size=(256, 160), crop=False), "stretching is not done there"),
        ("a1111", latentrt.Hires(1.3, upscaler="lanczos"), "83x83 there before it is cut"),
        ("forge", latentrt.Hires(sampler="tcd"), "second pass: tcd is not computed as forge does"),
        ("diffusers", latentrt.Hires(size=(256, 160)), "expected the proportions of 64x64, or crop"),
    ],
)
def test_second_passes_that_are_not_computed_as_there_are_refused(demo, like, hires, words):
    with pytest.raises(SettingError, match=words):
        demo.start_txt2img("a heart", width=64, height=64, like=like, hires=hires)


def test_a_program_may_be_told_otherwise_of_the_first_noise_and_of_levels(demo):
    def request(**settings):
        return demo.start_txt2img(
            "a heart", like="a1111", sampler="euler", num_inference_steps=4, **settings
        ).request

    schedule = request(sgm_noise_multiplier=True).schedule
    assert schedule.initial_scale == np.sqrt(1 + schedule.sigmas[0] ** 2)
    np.testing.assert_array_equal(schedule.sigmas, request().schedule.sigmas)
    table = np.float16(ALPHAS.astype(np.float64))
    levels = np.sqrt((1 - table) / table)
    assert levels.dtype == np.float16
    ends = request(downcast_alphas=True).schedule.sigmas[[0, 3]]
    np.testing.assert_allclose(
        ends, levels[[-1, 0]], rtol=1e-3
    )  # there, in the middle of float16's logarithms
    with pytest.raises(SettingError, match="float16 has no such levels"):
        request(downcast_alphas=True, zero_snr=True)
    with pytest.raises(SettingError, match="counts timesteps there and has none"):
        demo.start_txt2img("a heart", like="a1111", sampler="ddim", downcast_alphas=True)
    with pytest.raises(SettingError, match="does nothing with diffusers' way"):
        demo.start_txt2img("a heart", sgm_noise_multiplier=True)


def test_what_old_versions_did_to_levels_is_taken_from_their_texts(demo):
    text = "a heart\nSteps: 3, Sampler: {}, CFG scale: 2, Seed: 7, Size: 64x64, Version: v1.5.2"
    assert recall(text.format("Euler"))["downcast_alphas"] is True
    with pytest.warns(NotHeeded, match="not heeded here: .*Downcast alphas_cumprod"):
        assert "downcast_alphas" not in recall(text.format("DDIM"))


def test_align_your_steps_32_is_forges():
    """Of its 32 levels for Stable Diffusion and for SDXL the fourth and the last but one."""
    for name, levels in {"": (6.64729424, 0.03166121), "_sdxl": (6.48827151, 0.02877334)}.items():
        sampler = resolve("euler", published.SD1_SCHEDULER, f"align_your_steps_32{name}")
        sigmas = sampler.schedule(32, convention=PROGRAMS["forge"].convention).sigmas
        np.testing.assert_array_equal(sigmas[[3, 30, 32]].astype(np.float32), np.float32([*levels, 0]))


@pytest.mark.parametrize("sampler", ["euler", "dpm_2", "dpmpp_sde", "uni_pc", "ddim"])
def test_comfyuis_strength_of_0_gives_the_pictures_own_latents(sampler, demo):
    picture = demo.decode(np.zeros((1, 4, 8, 8), np.float32))[0]
    asked = {"strength": 0, "like": "comfyui", "seed": 5, "sampler": sampler, "num_inference_steps": 4}
    clean, _ = demo.autoencoder.encode(latentrt.pictures.images.to_array(picture))
    clean = clean * demo.autoencoder.scaling_factor
    started = demo.start_img2img("a heart", picture, num_images=2, **asked)
    assert started.total == 0
    result = started.result()
    np.testing.assert_array_equal(result.latents, np.repeat(clean, 2, axis=0))
    assert result.parameters[0].strength == 0
    assert recall(format_parameters(result.parameters[0]), run="img2img", num_images=1)["strength"] == 0
    mask = Image.new("L", picture.size, "white")
    result = demo.inpaint("a heart", picture, mask, **asked)
    np.testing.assert_allclose(result.latents, clean, rtol=0, atol=1e-6)


def test_strength_of_0_elsewhere(demo):
    """AUTOMATIC1111 runs one step more than it is asked for."""
    picture = demo.decode(np.zeros((1, 4, 8, 8), np.float32))[0]
    asked = {"strength": 0, "like": "a1111", "num_inference_steps": 4}
    assert demo.start_img2img("a heart", picture, sampler="euler", **asked).total == 1
    for more, words in (
        ({"exact_steps": True}, "strength: 0 would leave all steps out"),
        ({"sampler": "ddim"}, "strength: expected a run of 1 to 3 steps, got 0"),
        ({"like_parts": {"img2img": "diffusers"}}, "strength: 0.0 of 4 steps leaves none"),
    ):
        with pytest.raises(SettingError, match=words):
            demo.start_img2img("a heart", picture, **asked, **more)


def test_comfyuis_ancestral_noise_begins_with_the_seeds_first(demo):
    asked = {"width": 64, "height": 64, "num_inference_steps": 2, "sampler": "euler_ancestral", "seed": 5}
    started = demo.start_txt2img("a heart", like="comfyui", **asked)
    first = next(started)
    noise = TorchGenerator(5).randn((1, 4, 8, 8))
    sigmas = started.request.schedule.sigmas
    up = ancestral_noise(*sigmas[:2])
    down = np.sqrt(sigmas[1] ** 2 - up**2)
    x = started.request.schedule.initial(noise)
    expected = first.denoised + down / sigmas[0] * (x - first.denoised) + up * noise
    np.testing.assert_allclose(first.latents, expected, rtol=0, atol=1e-5)


def test_the_text_says_whose_way_it_was(demo):
    result = demo.txt2img("a heart", width=64, height=64, num_inference_steps=1, seed=1, like="a1111")
    (parameters,) = result.parameters
    assert {("Like", "A1111"), ("RNG", "NV")} <= set(parameters.extra)
