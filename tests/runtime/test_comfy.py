"""Single files as ComfyUI reads them: schedules, tokens, and with whole checkpoints conditionings, latents, pictures.

The slow ones need LATENTRT_COMFY_CHECKPOINTS, a folder with synth-sd15.safetensors and synth-sdxl.safetensors, made by
the recipe beside the cases (make_checkpoint.py, make_variants.py), and 12 GB of memory.
"""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from comfy_cases import Case, read_case
from PIL import Image

import latentrt
from latentrt import samplers
from latentrt.models import published
from latentrt.pipeline import Pipeline
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
    XL: ("euler_normal", "euler_cfg1"),
}  # fmt: skip


@pytest.mark.parametrize(("index", "name"), [(i, name) for i, names in SCHEDULED.items() for name in names])
def test_sigmas(index: str, name: str, data_file: FIND) -> None:
    case = read_case(data_file(index), name)
    node, asked = case.node("KSampler")
    sampler = samplers.resolve(asked["sampler_name"], CONFIGS[index], asked["scheduler"])
    schedule = sampler.schedule(asked["steps"])
    np.testing.assert_allclose(schedule.sigmas, case.arrays[f"sigmas_{node}"], rtol=2e-5)
    if f"timesteps_{node}" in case.arrays:
        np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


def test_sigmas_that_end_without_signal(data_file: FIND) -> None:
    case = read_case(data_file(XL), "vpred_zsnr")
    node, asked = case.node("KSampler")
    config = {**published.SDXL_SCHEDULER, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    schedule = samplers.resolve("euler", config, asked["scheduler"]).schedule(asked["steps"])
    np.testing.assert_allclose(schedule.sigmas, case.arrays[f"sigmas_{node}"], rtol=2e-5)
    np.testing.assert_array_equal(schedule.timesteps, case.arrays[f"timesteps_{node}"])


# Prompts without weights and embeddings; of those that are longer than a row the first counts.
TOKENS = {
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
        encoding = clip_tokenizer(pad).encode(case.text([node, 0]))
        np.testing.assert_array_equal(encoding.ids, case.arrays[f"{kind}_{node}"][0])


def test_tokens_of_two_prompts(data_file: FIND) -> None:
    case = read_case(data_file(XL), "cond_sdxl_node_unequal")
    node, asked = case.node("CLIPTextEncodeSDXL")
    for kind, pad in (("l", "<|endoftext|>"), ("g", "!")):
        ids = clip_tokenizer(pad).encode(asked[f"text_{kind}"]).ids
        np.testing.assert_array_equal(ids, case.arrays[f"tokens_{kind}_{node}"][0])


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
            held[name] = latentrt.load(checkpoint(name), device="cpu", low_memory=True)
        return held[name]

    yield open_file
    close()


def check_conditioning(case: Case, node: str, told: dict[str, np.ndarray]) -> None:
    states = told["encoder_hidden_states"]
    allowed = case.tolerance.get("cond_abs", 5e-4)
    np.testing.assert_allclose(
        states[None, :, ::16], case.arrays[f"cond_{node}"][:, :77], rtol=0, atol=allowed
    )
    norms = np.linalg.norm(states, axis=-1)
    np.testing.assert_allclose(norms, case.arrays[f"condnorm_{node}"][0, :77], rtol=2e-5)
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
        ("cond_empty", "2", None),
        ("cond_skip2", "3", None),
        ("cond_skip3", "3", 1),
        ("cond_concat", "3", None),
        ("negative_empty", "3", None),
    ],
)
def test_conditionings_of_sdxl(name, node, skip, data_file: FIND, opened) -> None:
    case = read_case(data_file(XL), name)
    pipeline = opened("synth-sdxl.safetensors")
    (told,) = pipeline.text.encode([case.text([node, 0])], skip)
    check_conditioning(case, node, told)


def painted(pipeline: Pipeline, case: Case, node: str, **more: object) -> np.ndarray:
    """The latents of a plain workflow, in the unit of ComfyUI's nodes. It does not evaluate the negative at cfg 1."""
    asked = case.workflow[node]["inputs"]
    latent = case.node("EmptyLatentImage")[1]
    result = pipeline.txt2img(
        case.text(asked["positive"]), negative_prompt=case.text(asked["negative"]), width=latent["width"],
        height=latent["height"], num_images=latent["batch_size"], seed=asked["seed"],
        num_inference_steps=asked["steps"], guidance_scale=max(asked["cfg"], 1.0), sampler=asked["sampler_name"],
        schedule=asked["scheduler"], **more,
    )  # fmt: skip
    return result.latents / pipeline.autoencoder.scaling_factor


# Of the schedules, those whose sigmas lie nearest to one training step each: where two are as near, ComfyUI takes
# another, by the last bits of its float32 table (`normal` with 3 or 5 steps).
PAINTED = (
    "sched_sgm_uniform_euler", "sched_karras_euler", "sched_karras_dpmpp_2m", "sched_ddim_uniform_euler",
    "sched_beta_dpmpp_2m", "sched_linear_quadratic_euler", "sched_kl_optimal_euler", "steps_1", "steps_2_2m_karras",
    "cfg_1",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PAINTED)
def test_latents_of_stable_diffusion(name: str, data_file: FIND, opened) -> None:
    case = read_case(data_file(SD15), name)
    node = case.node("KSampler")[0]
    latents = painted(opened("synth-sd15.safetensors"), case, node)
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
        ("synth-sdxl-vpred.safetensors", "vpred_zsnr"),
        ("synth-sdxl-fp8.safetensors", "fp8_file"),
    ],
)
def test_latents_of_sdxl(file: str, name: str, data_file: FIND, opened) -> None:
    """What its UNet is told beside the text, too: the size, and for an empty negative prompt its encoding."""
    case = read_case(data_file(XL), name)
    node = case.node("KSampler")[0]
    latents = painted(opened(file), case, node)
    np.testing.assert_allclose(
        latents, case.arrays[f"latent_{node}"], rtol=0, atol=case.tolerance["latent_abs"]
    )
