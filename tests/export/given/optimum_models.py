"""Run in an environment of optimum-onnx: small random models, what diffusers paints with them, and their exports.

`python optimum_models.py FOLDER` writes, for `sd` and `xl`, `FOLDER/NAME` (optimum's export) and `FOLDER/NAME.npz`
(what diffusers' own pipeline makes of it: `noise`, `latents`, `pixels` of these, and `mean` of those encoded again).
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from optimum.exporters.onnx import main_export
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WORDS = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
STEPS = 6


def random(module):
    """Off its initial values, where norms of one and biases of zero would hide a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def text_encoder(cls, width, layers, **config):
    return random(
        cls(
            CLIPTextConfig(
                vocab_size=len(WORDS), hidden_size=width, intermediate_size=64, num_hidden_layers=layers,
                num_attention_heads=4, bos_token_id=7, eos_token_id=8, pad_token_id=8, **config,
            )
        )
    )  # fmt: skip


def tokenizer(folder, pad):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    return CLIPTokenizer(folder / "vocab.json", folder / "merges.txt", pad_token=pad, model_max_length=77)


def unet(**config):
    return random(
        UNet2DConditionModel(
            sample_size=8, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=16, attention_head_dim=4,
            **config,
        )
    )  # fmt: skip


def vae(**config):
    return random(
        AutoencoderKL(
            block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, sample_size=16,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **config,
        )
    )  # fmt: skip


def sd(work):
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(CLIPTextModel, 32, 3),
        tokenizer=tokenizer(work / "words", "<|endoftext|>"),
        unet=unet(
            cross_attention_dim=32,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        scheduler=PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def xl(work):
    return StableDiffusionXLPipeline(
        vae=vae(scaling_factor=0.13025),
        text_encoder=text_encoder(CLIPTextModel, 32, 3),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, 48, 4, projection_dim=40, hidden_act="gelu"),
        tokenizer=tokenizer(work / "words", "<|endoftext|>"),
        tokenizer_2=tokenizer(work / "words_2", "c</w>"),
        unet=unet(
            cross_attention_dim=80,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=40 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler(**BETAS, timestep_spacing="leading"),
        add_watermarker=False,
    )


def main(work):
    for name, make in (("sd", sd), ("xl", xl)):
        pipeline = make(work)
        pipeline.set_progress_bar_config(disable=True)
        checkpoint = work / f"{name}-checkpoint"
        pipeline.save_pretrained(checkpoint)
        noise = torch.randn((2, 4, 12, 8), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            latents = pipeline(
                ["ab c"] * 2, negative_prompt=["b a"] * 2, num_inference_steps=STEPS, guidance_scale=5.0, height=24,
                width=16, latents=noise.clone(), output_type="latent",
            ).images  # fmt: skip
            pixels = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
            posterior = pipeline.vae.encode(pixels.clamp(-1, 1)).latent_dist
        np.savez(
            work / f"{name}.npz",
            noise=noise,
            latents=latents,
            pixels=pixels,
            mean=posterior.mean,
        )
        main_export(str(checkpoint), work / name, task="text-to-image", do_validation=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
