"""The whole way from prompt to picture against diffusers in torch on the CPU, in fp32.

The model has Stable Diffusion 1.x's architecture in small widths (the demo's configuration) and random weights, and
runs twice: as the diffusers folder it is, and as a bundle that the exporter made.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="compares with torch")

import diffusers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

import latentrt  # noqa: E402
from latentrt.models.bundle import open_model  # noqa: E402

DEMO = open_model("demo").root
PROMPT = "a large blue cross to the left of a small white ring on a brown background"
NEGATIVE = "green star"
STEPS = 12
SAMPLERS = {
    "ddim": (diffusers.DDIMScheduler, {}),
    "pndm": (diffusers.PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_karras": (diffusers.EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_karras": (diffusers.DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A diffusers folder with random weights that do something: attention and convolutions far from zero."""
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    configs = {
        name: json.loads((DEMO / name / "config.json").read_text())
        for name in ("unet", "vae", "text_encoder")
    }
    unet = diffusers.UNet2DConditionModel.from_config(configs["unet"])
    vae = diffusers.AutoencoderKL.from_config({**configs["vae"], "scaling_factor": 0.5})
    text_encoder = CLIPTextModel(CLIPTextConfig(**configs["text_encoder"]))
    for module in (unet, vae, text_encoder):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
                # A bundle holds fp16: nothing is to be rounded on the way there.
                parameter.copy_(parameter.half())
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer.from_pretrained(DEMO / "tokenizer"),
        scheduler=diffusers.DDIMScheduler.from_config(
            json.loads((DEMO / "scheduler/scheduler_config.json").read_text())
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(root)
    return root


@pytest.fixture(scope="module")
def reference(folder):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def bundle(folder, tmp_path_factory):
    from latentrt_export.bundle.export import export_model

    out = tmp_path_factory.mktemp("bundles") / "bundle"
    export_model(folder, out)
    return out


@pytest.fixture(params=["unconverted", pytest.param("bundle", marks=pytest.mark.slow)])
def pipeline(request):
    with latentrt.load(
        request.getfixturevalue("folder" if request.param == "unconverted" else "bundle"), device="cpu"
    ) as p:
        yield p


def with_scheduler(reference, sampler, kind=diffusers.StableDiffusionPipeline):
    scheduler, options = SAMPLERS[sampler]
    made = kind(**reference.components) if kind is not diffusers.StableDiffusionPipeline else reference
    made.scheduler = scheduler.from_config(
        {**json.loads((DEMO / "scheduler/scheduler_config.json").read_text()), **options}
    )
    made.set_progress_bar_config(disable=True)
    return made


def compare(result, latents, pixels, bound=1e-3):
    """`latents` as diffusers gives them; `pixels` float (b, h, w, 3) in [0, 1]."""
    assert result.latents.shape == latents.shape
    assert np.abs(latents).max() > 0.1
    assert np.abs(result.latents - latents).max() < bound
    levels = np.round(pixels * 255).astype(int)
    ours = np.stack([np.asarray(image) for image in result.images]).astype(int)
    assert np.mean(np.abs(ours - levels) <= 1) >= 0.999
    assert ours.std() > 1  # not a blank picture


def decoded(reference, latents):
    with torch.inference_mode():
        pixels = reference.vae.decode(latents / reference.vae.config.scaling_factor).sample
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_txt2img(reference, pipeline, sampler):
    theirs = with_scheduler(reference, sampler)
    latents = theirs(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0, height=64, width=96,
        generator=torch.Generator("cpu").manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    result = pipeline.txt2img(
        PROMPT, negative_prompt=NEGATIVE, num_inference_steps=STEPS, guidance_scale=5.0, height=64, width=96,
        seed=7, sampler=sampler,
    )  # fmt: skip
    compare(result, latents.numpy(), decoded(reference, latents))


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m_karras"])
@pytest.mark.parametrize("seeds", ["one", "list"])
def test_batches_and_sizes(reference, pipeline, sampler, seeds):
    """Three pictures that are not square, from one stream of noise and from a generator each, without guidance."""
    generator = {
        "one": torch.Generator("cpu").manual_seed(3),
        "list": [torch.Generator("cpu").manual_seed(s) for s in (3, 2**32 + 5, 0)],
    }[seeds]
    latents = with_scheduler(reference, sampler)(
        PROMPT, num_images_per_prompt=3, num_inference_steps=6, guidance_scale=1.0, height=64, width=96,
        generator=generator, output_type="latent",
    ).images  # fmt: skip
    ours = {"one": {"seed": 3, "num_images": 3}, "list": {"seed": [3, 2**32 + 5, 0], "batch_size": 2}}[seeds]
    result = pipeline.txt2img(
        PROMPT, num_inference_steps=6, guidance_scale=1.0, height=64, width=96, sampler=sampler, **ours
    )
    compare(result, latents.numpy(), decoded(reference, latents))


@pytest.mark.parametrize("sampler", ["ddim", "euler", "euler_ancestral", "dpmpp_2m", "pndm"])
@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
def test_img2img(reference, pipeline, sampler, strength):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).resize(
        (96, 64), Image.Resampling.BICUBIC
    )
    theirs = with_scheduler(reference, sampler, diffusers.StableDiffusionImg2ImgPipeline)
    latents = theirs(
        PROMPT, image=image, strength=strength, negative_prompt=NEGATIVE, num_inference_steps=STEPS,
        guidance_scale=5.0, generator=torch.Generator("cpu").manual_seed(11), output_type="latent",
    ).images  # fmt: skip
    result = pipeline.img2img(
        PROMPT, image, strength=strength, negative_prompt=NEGATIVE, num_inference_steps=STEPS,
        guidance_scale=5.0, seed=11, sampler=sampler,
    )  # fmt: skip
    compare(result, latents.numpy(), decoded(reference, latents))


@pytest.mark.parametrize("seeds", ["one", "list"])
def test_img2img_batch(reference, pipeline, seeds):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8))
    generator = {
        "one": torch.Generator("cpu").manual_seed(4),
        "list": [torch.Generator("cpu").manual_seed(s) for s in (4, 9)],
    }[seeds]
    theirs = with_scheduler(reference, "ddim", diffusers.StableDiffusionImg2ImgPipeline)
    latents = theirs(
        PROMPT, image=image, strength=0.5, num_images_per_prompt=2, num_inference_steps=6, guidance_scale=1.0,
        generator=generator, output_type="latent",
    ).images  # fmt: skip
    ours = {"one": {"seed": 4, "num_images": 2}, "list": {"seed": [4, 9]}}[seeds]
    result = pipeline.img2img(
        PROMPT, image, strength=0.5, num_inference_steps=6, guidance_scale=1.0, sampler="ddim", **ours
    )
    compare(result, latents.numpy(), decoded(reference, latents))


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_clip_skip(reference, pipeline, clip_skip):
    # diffusers 0.42 asks for text_encoder.text_model, which transformers 5.23 no longer has; so its own few lines
    # (StableDiffusionPipeline.encode_prompt) are done here: an earlier layer's states, through the last layer norm.
    encoder = reference.text_encoder

    def embed(text):
        ids = reference.tokenizer(text, padding="max_length", return_tensors="pt").input_ids
        states = encoder(ids, output_hidden_states=True).hidden_states[-(clip_skip + 1)]
        return getattr(encoder, "text_model", encoder).final_layer_norm(states)

    with torch.inference_mode():
        embeds = {"prompt_embeds": embed(PROMPT), "negative_prompt_embeds": embed("")}
    settings = {"num_inference_steps": 4, "guidance_scale": 3.0, "height": 64, "width": 64}
    latents = with_scheduler(reference, "ddim")(
        **embeds, **settings, generator=torch.Generator("cpu").manual_seed(7), output_type="latent"
    ).images
    settings |= {"seed": 7, "sampler": "ddim"}
    result = pipeline.txt2img(PROMPT, clip_skip=clip_skip, **settings)
    compare(result, latents.numpy(), decoded(reference, latents))
    plain = pipeline.txt2img(PROMPT, **settings)
    assert np.abs(plain.latents - result.latents).max() > 1e-2


def test_encode_is_the_posterior(reference, pipeline):
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 96, 3), np.uint8))
    pixels = torch.from_numpy(np.asarray(image).astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        posterior = reference.vae.encode(pixels).latent_dist
        mode = posterior.mode() * reference.vae.config.scaling_factor
        drawn = posterior.sample(torch.Generator("cpu").manual_seed(5)) * reference.vae.config.scaling_factor
    np.testing.assert_allclose(pipeline.encode(image), mode.numpy(), atol=1e-4)
    np.testing.assert_allclose(pipeline.encode(image, seed=5), drawn.numpy(), atol=1e-4)


@pytest.mark.parametrize("storage", ["fp16", "bf16", "sharded", "old-names"])
def test_every_kind_of_checkpoint_runs(folder, reference, tmp_path, storage):
    """fp16 and bf16 files, `.fp16.` variants, shards with an index, names of other versions: the same picture."""
    target = Path(shutil.copytree(folder, tmp_path / "model"))
    if storage in ("fp16", "bf16"):
        half = diffusers.StableDiffusionPipeline.from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float16 if storage == "fp16" else torch.bfloat16
        )
        shutil.rmtree(target)
        half.save_pretrained(target, variant="fp16" if storage == "fp16" else None)
        reference = half.to(torch.float32)
    elif storage == "sharded":
        (target / "unet/diffusion_pytorch_model.safetensors").unlink()
        reference.unet.save_pretrained(target / "unet", max_shard_size="8MB")
        assert (target / "unet/diffusion_pytorch_model.safetensors.index.json").is_file()
    else:
        from safetensors.torch import load_file, save_file

        path = target / "text_encoder/model.safetensors"
        tensors = {f"text_model.{name}": tensor for name, tensor in load_file(path).items()}
        save_file(tensors, path)
    latents = with_scheduler(reference, "ddim")(
        PROMPT, num_inference_steps=3, guidance_scale=3.0, height=64, width=64,
        generator=torch.Generator("cpu").manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    with latentrt.load(target, device="cpu") as pipeline:
        result = pipeline.txt2img(
            PROMPT, num_inference_steps=3, guidance_scale=3.0, height=64, width=64, seed=7, sampler="ddim"
        )
    compare(result, latents.numpy(), decoded(reference, latents))


@pytest.mark.parametrize("sampler", ["ddim", "euler_ancestral", "dpmpp_2m"])
def test_demo_model(sampler):
    """The model that comes with the package, unconverted: its fp16 weights in fp32 compute, as torch has them."""
    parts = {
        "unet": diffusers.UNet2DConditionModel.from_pretrained(DEMO / "unet", torch_dtype=torch.float32),
        "vae": diffusers.AutoencoderKL.from_pretrained(DEMO / "vae", torch_dtype=torch.float32),
        "text_encoder": CLIPTextModel.from_pretrained(DEMO / "text_encoder", dtype=torch.float32),
        "tokenizer": CLIPTokenizer.from_pretrained(DEMO / "tokenizer"),
        "scheduler": diffusers.DDIMScheduler.from_pretrained(DEMO / "scheduler"),
    }
    theirs = with_scheduler(
        diffusers.StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        ),
        sampler,
    )
    latents = theirs(
        PROMPT, num_inference_steps=STEPS, guidance_scale=4.0, generator=torch.Generator("cpu").manual_seed(7),
        output_type="latent",
    ).images  # fmt: skip
    with latentrt.load("demo", device="cpu") as pipeline:
        result = pipeline.txt2img(
            PROMPT, num_inference_steps=STEPS, guidance_scale=4.0, seed=7, sampler=sampler
        )
    compare(result, latents.numpy(), decoded(theirs, latents))
