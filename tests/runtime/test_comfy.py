"""Single files as ComfyUI reads them: schedules, tokens, and with whole checkpoints conditionings, latents, pictures.

The slow ones need LATENTRT_COMFY_CHECKPOINTS, a folder with synth-sd15.safetensors and synth-sdxl.safetensors, made by
the recipe beside the cases (make_checkpoint.py, make_variants.py), and 12 GB of memory.
"""

import gc
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from comfy_cases import Case, read_case
from comfy_runs import UPSCALERS as UPSCALERS_OF
from comfy_runs import latents_of, stage
from PIL import Image

import latentrt
from latentrt import samplers
from latentrt.models import published
from latentrt.painting.enlarging import Enlarging
from latentrt.painting.programs import PROGRAMS, own_name
from latentrt.painting.seeds import make_seeds
from latentrt.painting.stages import part
from latentrt.painting.upscale import UPSCALERS
from latentrt.pipeline import Pipeline
from latentrt.text.rows import comfyui_rows, cut_between_groups, level
from latentrt.text.tokenizer import clip_tokenizer

FIND = Callable[[str], Path]
SD15, XL = "comfy/index.json", "comfyxl/index.json"
CONFIGS = {SD15: published.SD1_SCHEDULER, XL: published.SDXL_SCHEDULER}
SCHEDULED = {
    SD15: (
        "sampler_euler", "sampler_dpmpp_2m", "sched_sgm_uniform_euler", "sched_karras_euler", "sched_karras_dpmpp_2m",
        "sched_ddim_uniform_euler", "sched_beta_dpmpp_2m", "sched_linear_quadratic_euler", "sched_kl_optimal_euler",
        "sched_karras_uni_pc", "seed_0", "steps_1", "steps_2_2m_karras",
    ),
    XL: ("euler_normal", "euler_cfg1", "lcm_cfg1", "batch2_ancestral", "dpmpp_sde_karras"),
}  # fmt: skip


@pytest.mark.parametrize(("index", "name"), [(i, name) for i, names in SCHEDULED.items() for name in names])
def test_sigmas(index: str, name: str, data_file: FIND) -> None:
    case = read_case(data_file(index), name)
    node, asked = case.node("KSampler")
    name = own_name(PROGRAMS["comfyui"], asked["sampler_name"])
    sampler = samplers.resolve(name, CONFIGS[index], asked["scheduler"])
    schedule = sampler.schedule(asked["steps"])
    sigmas = np.append(schedule.sigmas[: -1 : schedule.order], schedule.sigmas[-1])
    np.testing.assert_allclose(sigmas, case.arrays[f"sigmas_{node}"], rtol=2e-5)
    if f"timesteps_{node}" in case.arrays:
        np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


def test_sigmas_over_a_picture(data_file: FIND) -> None:
    case = read_case(data_file(XL), "denoise_0.6")
    node, asked = case.node("KSampler")
    program = PROGRAMS["comfyui"]
    count, kept = program.img2img(asked["steps"], asked["denoise"])
    sampler = samplers.resolve(asked["sampler_name"], CONFIGS[XL], asked["scheduler"])
    schedule = sampler.schedule(count, convention=program.convention).since(count - kept)
    np.testing.assert_array_equal(schedule.sigmas.astype(np.float32), case.arrays[f"sigmas_{node}"])
    np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


ADVANCED = ("advanced_two_stage", "advanced_end_forced", "advanced_start")


@pytest.mark.parametrize("name", ADVANCED)
def test_sigmas_of_stages(name: str, data_file: FIND) -> None:
    case = read_case(data_file(SD15), name)
    for node, asked in case.nodes("KSamplerAdvanced"):
        sampler = samplers.resolve(asked["sampler_name"], CONFIGS[SD15], asked["scheduler"])
        whole = sampler.schedule(asked["steps"], convention=PROGRAMS["comfyui"].convention)
        schedule = part(whole, {"end_at_step": None, "leftover_noise": False, **stage(asked)})
        np.testing.assert_array_equal(schedule.sigmas.astype(np.float32), case.arrays[f"sigmas_{node}"])


@pytest.mark.parametrize(
    ("index", "name"), [(SD15, "batch_repeat_i2i"), (SD15, "batch3_euler"), (XL, "batch2_ancestral")]
)
def test_noise_of_a_batch(index: str, name: str, data_file: FIND) -> None:
    """One seed draws it at once, also over one picture that was repeated."""
    case = read_case(data_file(index), name)
    node, asked = case.node("KSampler")
    noise = case.arrays[f"noise_{node}"]
    seeds = make_seeds(asked["seed"], len(noise))
    drawn = seeds.sources(seeds.batches[0])[1].randn(noise.shape)
    np.testing.assert_allclose(drawn, noise, rtol=0, atol=5e-7)


def test_sigmas_that_end_without_signal(data_file: FIND) -> None:
    case = read_case(data_file(XL), "vpred_zsnr")
    node, asked = case.node("KSampler")
    config = {**published.SDXL_SCHEDULER, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    schedule = samplers.resolve("euler", config, asked["scheduler"]).schedule(asked["steps"])
    np.testing.assert_allclose(schedule.sigmas, case.arrays[f"sigmas_{node}"], rtol=2e-5)
    np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


# Prompts without weights and embeddings, one of them longer than a row.
TOKENS: dict[str, dict[str, str]] = {
    SD15: {"prompt_empty": "23", "prompt_unicode": "2", "prompt_weight": "3"},
    XL: {"cond_plain": "2", "cond_long": "2", "cond_empty": "2", "cond_concat": "23", "euler_normal": "23"},
}


@pytest.mark.parametrize(
    ("index", "name", "node"),
    [(i, name, n) for i, found in TOKENS.items() for name, nodes in found.items() for n in nodes],
)
def test_tokens(index: str, name: str, node: str, data_file: FIND) -> None:
    """OpenCLIP's rows are filled up with 0."""
    case = read_case(data_file(index), name)
    encoders = (
        {"tokens": "<|endoftext|>"} if index == SD15 else {"tokens_l": "<|endoftext|>", "tokens_g": "!"}
    )
    for kind, pad in encoders.items():
        rows = comfyui_rows(clip_tokenizer(pad), case.text([node, 0]))
        np.testing.assert_array_equal([row.ids for row in rows], case.arrays[f"{kind}_{node}"])


def test_tokens_of_two_prompts(data_file: FIND) -> None:
    case = read_case(data_file(XL), "cond_sdxl_node_unequal")
    node, asked = case.node("CLIPTextEncodeSDXL")
    tokenizers = {"l": clip_tokenizer("<|endoftext|>"), "g": clip_tokenizer("!")}
    read = [comfyui_rows(tokenizer, asked[f"text_{kind}"]) for kind, tokenizer in tokenizers.items()]
    assert list(map(len, read)) == [1, 2]
    for kind, rows in zip(tokenizers, level(read, [*tokenizers.values()]), strict=True):
        np.testing.assert_array_equal([row.ids for row in rows], case.arrays[f"tokens_{kind}_{node}"])


@pytest.mark.parametrize("name", ["prompt_long_weighted", "prompt_boundary"])
def test_tokens_of_groups(name: str, data_file: FIND) -> None:
    """A short group moves on whole where it does not fit, a long one is cut."""
    case = read_case(data_file(SD15), name)
    tokenizer = clip_tokenizer()
    groups = [tokenizer.ids(text) for text in re.split(r"\(([^:]+):[0-9.]+\)", case.text(["2", 0])) if text]
    ids = [one for group in groups for one in group]
    cuts = cut_between_groups(list(map(len, groups)), tokenizer.max_length - 2)
    rows = [tokenizer.row(ids[cut.start : cut.stop]).ids for cut in cuts]
    np.testing.assert_array_equal(rows, case.arrays["tokens_2"])


def checkpoint(name: str) -> Path:
    folder = os.environ.get("LATENTRT_COMFY_CHECKPOINTS")
    if not folder:
        pytest.skip(
            f"LATENTRT_COMFY_CHECKPOINTS is not set: expected a folder with {name}, made by make_checkpoint.py"
        )
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(
            f"LATENTRT_COMFY_CHECKPOINTS={folder} has no {name}; make_checkpoint.py, make_variants.py write it"
        )
    return path


@pytest.fixture(scope="module")
def opened() -> Iterator[Callable[[str], Pipeline]]:
    """One at a time: their networks fill the memory."""
    held: dict[str, Pipeline] = {}

    def close() -> None:
        for pipeline in held.values():
            pipeline.close()
        held.clear()
        gc.collect()

    def open_file(name: str) -> Pipeline:
        if name not in held:
            close()
            held[name] = latentrt.load(checkpoint(name), device="cpu", low_memory="xl" in name)
        return held[name]

    yield open_file
    close()


def check_conditioning(case: Case, node: str, told: dict[str, np.ndarray]) -> None:
    states = told["encoder_hidden_states"]
    allowed = case.tolerance.get("cond_abs", 5e-4)
    np.testing.assert_allclose(states[None, :, ::16], case.arrays[f"cond_{node}"], rtol=0, atol=allowed)
    norms = np.linalg.norm(states, axis=-1)
    np.testing.assert_allclose(norms, case.arrays[f"condnorm_{node}"][0], rtol=2e-5)
    if f"pooled_{node}" in case.arrays:
        wanted = case.arrays[f"pooled_{node}"][0]
        np.testing.assert_allclose(told["text_embeds"], wanted, rtol=0, atol=case.tolerance["pooled_abs"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "node", "skip"),
    [
        ("prompt_empty", "2", None),
        ("prompt_unicode", "2", None),
        ("prompt_weight", "3", None),
        ("prompt_clip_skip2", "4", 1),
    ],
)
def test_conditionings_of_stable_diffusion(name, node, skip, data_file: FIND, opened) -> None:
    case = read_case(data_file(SD15), name)
    pipeline = opened("synth-sd15.safetensors")
    (told,) = pipeline.text.encode([case.text([node, 0])], skip)
    check_conditioning(case, node, told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "node", "skip"),
    [
        ("cond_plain", "2", None),
        ("cond_long", "2", None),
        ("cond_empty", "2", None),
        ("cond_skip2", "3", None),
        ("cond_skip3", "3", 1),
        ("cond_skip13", "3", 11),
        ("cond_concat", "2", None),
        ("cond_concat", "3", None),
        ("negative_empty", "3", None),
    ],
)
def test_conditionings_of_sdxl(name, node, skip, data_file: FIND, opened) -> None:
    case = read_case(data_file(XL), name)
    pipeline = opened("synth-sdxl.safetensors")
    (told,) = pipeline.text.encode([case.text([node, 0])], skip, rows=comfyui_rows, beyond=True)
    check_conditioning(case, node, told)


@pytest.mark.slow
def test_conditioning_of_two_prompts(data_file: FIND, opened) -> None:
    """One for each encoder: the shorter is filled up with empty rows."""
    case = read_case(data_file(XL), "cond_sdxl_node_unequal")
    node, asked = case.node("CLIPTextEncodeSDXL")
    texts = (asked["text_l"], asked["text_g"])
    (told,) = opened("synth-sdxl.safetensors").text.encode([texts], rows=comfyui_rows)
    check_conditioning(case, node, told)


PAINTED = (
    "sampler_euler", "sampler_euler_ancestral", "sampler_heun", "sampler_dpm_2", "sampler_dpmpp_2s_ancestral",
    "sampler_dpmpp_2m", "sampler_dpmpp_3m_sde", "sampler_lcm", "sampler_res_multistep",
    "sampler_res_multistep_cfg_pp", "sampler_dpmpp_2s_ancestral_cfg_pp", "sampler_ddim", "sampler_uni_pc",
    "sampler_uni_pc_bh2", "sampler_heunpp2", "sampler_ipndm_v", "sampler_seeds_3", "sampler_sa_solver",
    "sampler_sa_solver_pece", "sched_sgm_uniform_euler", "sched_karras_euler", "sched_karras_dpmpp_2m",
    "sched_karras_uni_pc", "sched_karras_dpmpp_sde", "sched_ddim_uniform_euler", "sched_beta_dpmpp_2m",
    "sched_linear_quadratic_euler", "sched_kl_optimal_euler", "seed_0", "seed_2p63_7", "seed_2p32_5_sde",
    "size_128x96", "batch3_euler", "batch3_sde", "batch_repeat_i2i", "cfg_1", "cfg_0", "steps_1",
    "steps_2_2m_karras", "denoise_0.6",
    "denoise_0", "denoise_1.0", "denoise_0.6_karras_2m", "denoise_0.7_uni_pc", "denoise_0.45_dpm_2",
    "mask_euler", "mask_alpha_2m",
    "inpaint_grow0", "inpaint_grow7_alpha", "prompt_boundary", "prompt_empty", "prompt_unicode",
)  # fmt: skip


SECOND_PASSES = (
    "hires_nearest-exact", "hires_bilinear", "hires_bicubic", "hires_bislerp", "hires_crop_center",
)  # fmt: skip


@pytest.mark.parametrize("name", SECOND_PASSES)
def test_latents_are_enlarged_as_there(name: str, data_file: FIND) -> None:
    """LatentUpscale works on latents that are not scaled; none of its ways knows the difference."""
    case = read_case(data_file(SD15), name)
    before, after = case.arrays["latent_5"], case.arrays["latent_6"]
    fit = "before" if "crop" in name else "stretched"
    size = (8 * after.shape[3], 8 * after.shape[2])
    method = case.node("LatentUpscale")[1]["upscale_method"]
    enlarging = Enlarging(UPSCALERS[UPSCALERS_OF[method]], size, size, fit)
    np.testing.assert_allclose(enlarging(before, SimpleNamespace(factor=8)), after, rtol=0, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", (*PAINTED, *ADVANCED, *SECOND_PASSES))
def test_latents_of_stable_diffusion(name: str, data_file: FIND, opened) -> None:
    index = data_file(SD15)
    check_latents(opened("synth-sd15.safetensors"), read_case(index, name), index.parent)


def check_latents(pipeline: Pipeline, case: Case, folder: Path) -> None:
    for node, latents in latents_of(pipeline, case, folder).items():
        np.testing.assert_allclose(
            latents, case.arrays[f"latent_{node}"], rtol=0, atol=case.tolerance["latent_abs"]
        )


def check_decoded(pipeline: Pipeline, case: Case, node: str) -> None:
    latents = case.arrays[f"latent_{node}"] * pipeline.autoencoder.scaling_factor
    pixels = pipeline.autoencoder.decode(latents.astype(np.float32)).transpose(0, 2, 3, 1) / 2 + 0.5
    np.testing.assert_allclose(np.clip(pixels, 0, 1), np.clip(case.arrays["pixels"], 0, 1), rtol=0, atol=1e-4)
    levels = np.abs(np.floor(np.clip(pixels, 0, 1) * 255) - case.arrays["image"])
    assert levels.max() <= case.tolerance["image_levels"]


def check_encoded(pipeline: Pipeline, case: Case, folder: Path, allowed: str) -> None:
    node, _ = case.node("VAEEncode")
    with Image.open(folder / "input" / str(case.node("LoadImage")[1]["image"])) as picture:
        pixels = np.asarray(picture.convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
    mean, _ = pipeline.autoencoder.encode(pixels)
    np.testing.assert_allclose(mean, case.arrays[f"latent_{node}"], rtol=0, atol=case.tolerance[allowed])


@pytest.mark.slow
def test_autoencoder_of_stable_diffusion(data_file: FIND, opened) -> None:
    pipeline, index = opened("synth-sd15.safetensors"), data_file(SD15)
    check_decoded(pipeline, read_case(index, "sampler_euler"), "5")
    check_decoded(pipeline, read_case(index, "size_128x96"), "5")
    check_encoded(pipeline, read_case(index, "denoise_0.6"), index.parent, "latent_abs")


@pytest.mark.slow
def test_autoencoder_of_sdxl(data_file: FIND, opened) -> None:
    pipeline, index = opened("synth-sdxl.safetensors"), data_file(XL)
    check_decoded(pipeline, read_case(index, "euler_normal"), "5")
    check_encoded(pipeline, read_case(index, "denoise_0.6"), index.parent, "latent_other_abs")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("synth-sdxl.safetensors", "euler_normal"),
        ("synth-sdxl.safetensors", "euler_cfg1"),
        ("synth-sdxl.safetensors", "negative_empty"),
        ("synth-sdxl.safetensors", "dpmpp_sde_karras"),
        ("synth-sdxl.safetensors", "lcm_cfg1"),
        ("synth-sdxl.safetensors", "batch2_ancestral"),
        ("synth-sdxl.safetensors", "denoise_0.6"),
        ("synth-sdxl-vpred.safetensors", "vpred_zsnr"),
        ("synth-sdxl-fp8.safetensors", "fp8_file"),
    ],
)
def test_latents_of_sdxl(file: str, name: str, data_file: FIND, opened) -> None:
    """What its UNet is told beside the text, too: the size, and for an empty negative prompt its encoding."""
    index = data_file(XL)
    check_latents(opened(file), read_case(index, name), index.parent)
