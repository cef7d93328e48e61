"""The kin of Stable Diffusion 1.x, whose UNets or schedulers differ, against diffusers in small random networks."""

import diffusers
import numpy as np
import pytest
import torch
from checkpoints import make_text_encoder, make_tokenizer, make_unet, make_vae

import latentrt

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SD2 = {"use_linear_projection": True, "attention_head_dim": (2, 4, 4), "upcast_attention": True}
LINEAR = {"prediction_type": "v_prediction", "set_alpha_to_one": False, "clip_sample": False}
FAMILIES = {
    # name: the UNet's config, the scheduler, its options, how it is painted with
    "SD 2, v": (SD2, "DDIMScheduler", LINEAR, {"num_inference_steps": 8, "guidance_scale": 6.0}),
    "SD 2, zero SNR": (
        SD2, "DDIMScheduler", {**LINEAR, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        {"num_inference_steps": 8, "guidance_scale": 6.0, "guidance_rescale": 0.7},
    ),
    "SD-Turbo, 1 step": (
        SD2, "EulerDiscreteScheduler", {"timestep_spacing": "trailing"},
        {"num_inference_steps": 1, "guidance_scale": 0.0},
    ),
    "SD-Turbo, 4 steps": (
        SD2, "EulerDiscreteScheduler", {"timestep_spacing": "trailing"},
        {"num_inference_steps": 4, "guidance_scale": 0.0},
    ),
    "BK-SDM-Tiny, no middle": (
        {"mid_block_type": None, "layers_per_block": 1}, "PNDMScheduler", {"skip_prk_steps": True},
        {"num_inference_steps": 8, "guidance_scale": 6.0},
    ),
    "LCM, guidance inside": (
        {"time_cond_proj_dim": 32}, "LCMScheduler", {}, {"num_inference_steps": 4, "guidance_scale": 8.0},
    ),
    "LCM, weak guidance": (
        {"time_cond_proj_dim": 33}, "LCMScheduler", {}, {"num_inference_steps": 2, "guidance_scale": 1.5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_txt2img(family, tmp_path):
    unet, scheduler, options, settings = FAMILIES[family]
    kind = diffusers.LatentConsistencyModelPipeline if "LCM" in family else diffusers.StableDiffusionPipeline
    made = kind(
        vae=make_vae(),
        text_encoder=make_text_encoder(eos_token_id=8),
        tokenizer=make_tokenizer(),
        unet=make_unet(**unet),
        scheduler=getattr(diffusers, scheduler)(**BETAS, **options),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.save_pretrained(tmp_path / "model")
    theirs = kind.from_pretrained(tmp_path / "model", local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    negative = {} if "LCM" in family else {"negative_prompt": "b"}
    wanted = theirs(
        "ab a", height=32, width=48, generator=torch.Generator("cpu").manual_seed(7), output_type="latent",
        **settings, **negative,
    ).images.numpy()  # fmt: skip
    with latentrt.load(tmp_path / "model", device="cpu") as pipeline:
        ours = pipeline.txt2img("ab a", height=32, width=48, seed=7, **settings, **negative).latents
    assert np.abs(wanted).max() > 0.5
    assert np.abs(ours - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())
