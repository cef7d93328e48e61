"""Checkpoints in one file against diffusers' pipelines of the same modules, and all their forms against each other."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_files import TINY, make_pipeline, scaled, tensors_of, write

import latentrt

SIZE = {"width": 32, "height": 40}
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8))
MASK = Image.fromarray(np.uint8([[0, 255]]).repeat(16, 1).repeat(40, 0))
DEPTH = np.random.default_rng(1).uniform(0, 9, (40, 32)).astype(np.float32)
SETTINGS = {"num_inference_steps": 3, "guidance_scale": 5.0}
# By kind: the run, and what it is asked for besides.
RUNS = {
    "sd1": ("txt2img", {"negative_prompt": "a dog", **SIZE}),
    "sd2": ("txt2img", {"negative_prompt": "", **SIZE}),
    "sdxl": ("txt2img", {**SIZE}),
    "lcm": ("txt2img", {"guidance_scale": 8.5, **SIZE}),
    "refiner": ("img2img", {"negative_prompt": "a dog", "strength": 0.5, "num_inference_steps": 8}),
    "inpaint": ("inpaint", {"negative_prompt": "a dog"}),
    "depth": (
        "img2img",
        {"negative_prompt": "a dog", "strength": 0.5, "num_inference_steps": 6, "depth": DEPTH},
    ),
    "x4": ("upscale", {"negative_prompt": "a dog", "noise_level": 50}),
}


# Of Stable Diffusion 2.x's kind, nothing in these says how they predict.
pytestmark = pytest.mark.filterwarnings("ignore::latentrt.pipeline.TakenForGranted")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By kind: diffusers' pipeline, the tensors of its one file, that file, and what it paints."""
    kept = {}

    def make(name):
        if name not in kept:
            pipeline = make_pipeline(name)
            tensors = tensors_of(name, pipeline)
            folder = tmp_path_factory.mktemp(name)
            file = write(folder / "model.safetensors", tensors)
            kept[name] = pipeline, tensors, file, painted(file, name)
        return kept[name]

    return make


def painted(model: Path, name: str, **more):
    run, asked = RUNS[name]
    pictures = {"img2img": (PICTURE,), "inpaint": (PICTURE, MASK), "upscale": (PICTURE,)}.get(run, ())
    # One thread takes products of few rows otherwise from weights that ONNX Runtime widened: sums in another order.
    with latentrt.load(model, device="cpu", threads=2, **more) as pipeline:
        return getattr(pipeline, run)("A cat, red", *pictures, seed=7, **{**SETTINGS, **asked}).latents


def close(ours, wanted):
    """The same values, of which ONNX Runtime packs those that it widened itself otherwise: sums in another order."""
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4)


def with_diffusers(pipeline, name):
    run, asked = RUNS[name]
    asked = {**asked}
    pictures = {
        "img2img": {"image": PICTURE},
        "inpaint": {"image": PICTURE, "mask_image": MASK, **SIZE},
        "upscale": {"image": PICTURE},
    }.get(run, {})
    if "depth" in asked:
        pictures["depth_map"] = torch.tensor(asked.pop("depth"))[None]
    if run == "inpaint":
        pictures["strength"] = 1.0
    generator = torch.Generator("cpu").manual_seed(7)
    return pipeline(
        "A cat, red", generator=generator, output_type="latent", **pictures, **{**SETTINGS, **asked}
    ).images.numpy()  # fmt: skip


# What another kind covers nearly is slow; each takes two seconds.
QUICK = ("sd1", "sd2", "sdxl")
KINDS = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TINY]


@pytest.mark.parametrize("name", KINDS)
def test_a_file_paints_what_diffusers_paints(name, made):
    pipeline, _, _, ours = made(name)
    wanted = with_diffusers(pipeline, name)
    assert ours.shape == wanted.shape
    assert np.abs(wanted).max() > 0.5
    assert np.abs(ours - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())


def as_folder(pipeline, tensors, path):
    pipeline.save_pretrained(path)


def as_shards(pipeline, tensors, path):
    pipeline.save_pretrained(path, max_shard_size="1MB")
    assert len(list((path / "unet").glob("*.safetensors"))) > 1


def as_halves(pipeline, tensors, path):
    write(path, tensors, torch.float16)


def as_bfloat(pipeline, tensors, path):
    write(path, tensors, torch.bfloat16)


def as_scaled(pipeline, tensors, path):
    save_file(scaled(tensors), path)


def as_mixed(pipeline, tensors, path):
    """Networks of a type each."""
    types = {"model": torch.float16, "first_stage_model": torch.float32}
    mixed = {name: t.to(types.get(name.partition(".")[0], torch.bfloat16)) for name, t in tensors.items()}
    save_file(mixed, path)


def as_convolutions(pipeline, tensors, path):
    """1×1 where a matrix would do, and the other way round."""
    turned = {}
    for name, tensor in tensors.items():
        if name.endswith((".proj_in.weight", ".proj_out.weight", ".q.weight")):
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor[:, :, 0, 0]
        turned[name] = tensor
    write(path, turned)


def as_others_name_it(pipeline, tensors, path):
    """UNet and VAE in diffusers' names."""
    kept = {n: t for n, t in tensors.items() if not n.startswith(("model.", "first_stage_model."))}
    for name in ("unet", "vae"):
        parameters = getattr(pipeline, name).named_parameters()
        kept |= {f"{name}.{key}": value.detach() for key, value in parameters}
    write(path, kept)


def with_extras(pipeline, tensors, path):
    more = {
        "alphas_cumprod": torch.zeros(1000),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(64, 4, 3, 3),
        **{
            name.replace("embeddings.token_embedding.weight", "embeddings.position_ids"): torch.zeros(1, 77)
            for name in tensors
            if name.endswith("embeddings.token_embedding.weight")
        },
    }
    write(path, tensors | more, torch.float16)


FORMS = (
    as_folder, as_shards, as_halves, as_bfloat, as_scaled, as_mixed, as_convolutions, as_others_name_it, with_extras,
)  # fmt: skip
ORDINARY = {
    "sdxl": (as_shards, as_bfloat, as_scaled, as_others_name_it),
    "sd2": (as_convolutions, with_extras),
}
CASES = [
    pytest.param(name, form, marks=() if form in ORDINARY.get(name, ()) else pytest.mark.slow)
    for name in TINY
    for form in FORMS
    # Heads of the others follow from the text's width, of which no small one is known.
    if form is not as_convolutions or name in ("sdxl", "refiner")
]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_form_of_the_same_values_paints_the_same(name, form, made, tmp_path):
    pipeline, tensors, _, wanted = made(name)
    path = tmp_path / ("folder" if form in (as_folder, as_shards) else "model.safetensors")
    form(pipeline, tensors, path)
    if form is as_scaled:
        close(painted(path, name), wanted)
    else:
        np.testing.assert_array_equal(painted(path, name), wanted)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2], ids=["e4m3", "e5m2"])
@pytest.mark.parametrize(
    "name", [n if n == "sdxl" else pytest.param(n, marks=pytest.mark.slow) for n in TINY]
)
def test_plain_float8_paints_its_own_values(name, kind, made, tmp_path):
    _, tensors, *_ = made(name)
    eights = {n: t.to(kind) if t.ndim > 1 else t.half() for n, t in tensors.items()}
    save_file(eights, tmp_path / "f8.safetensors")
    write(tmp_path / "wide.safetensors", {n: t.float() for n, t in eights.items()})
    ours = painted(tmp_path / "f8.safetensors", name)
    close(ours, painted(tmp_path / "wide.safetensors", name))


def test_parts_from_elsewhere_paint_the_same(made, tmp_path):
    _, tensors, _, wanted = made("sdxl")
    pieces = {}
    for part, prefix in (("unet", "model."), ("vae", "first_stage_model."), ("text", "conditioner.")):
        held = {
            n.removeprefix("model.diffusion_model."): t for n, t in tensors.items() if n.startswith(prefix)
        }
        pieces[part] = write(tmp_path / f"{part}.safetensors", held)
    alone = painted(pieces["unet"], "sdxl", vae=pieces["vae"], text_encoder=pieces["text"])
    np.testing.assert_array_equal(alone, wanted)
