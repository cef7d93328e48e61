"""Paint the same prompts with diffusers in torch and with latentrt, side by side, and say how far they are apart.

    python tools/side_by_side.py docs/images/side-by-side.png

The model is the included demo; both compute in fp32 on the CPU, with the same seeds, sampler and steps.
"""

import argparse
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import CLIPTextModel, CLIPTokenizer

import latentrt
from latentrt.models.bundle import open_model

PROMPTS = (
    "a large blue cross to the left of a small white ring on a brown background",
    "a small yellow star above a large purple square on a grey background",
    "a large red heart on a blue background",
    "a small green triangle to the right of a large orange circle on a white background",
)
STEPS, SEED = 20, 7
LABEL = 14


def reference() -> diffusers.StableDiffusionPipeline:
    """The demo in diffusers, fp32, with the scheduler that latentrt's `dpmpp_2m` stands for."""
    root = open_model("demo").root
    parts = {
        "unet": diffusers.UNet2DConditionModel.from_pretrained(root / "unet", torch_dtype=torch.float32),
        "vae": diffusers.AutoencoderKL.from_pretrained(root / "vae", torch_dtype=torch.float32),
        "text_encoder": CLIPTextModel.from_pretrained(root / "text_encoder", dtype=torch.float32),
        "tokenizer": CLIPTokenizer.from_pretrained(root / "tokenizer"),
        "scheduler": diffusers.DPMSolverMultistepScheduler.from_pretrained(root / "scheduler"),
    }
    pipeline = diffusers.StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def main(out: Path) -> int:
    """Make the picture; print one line per prompt."""
    theirs, columns = reference(), []
    with latentrt.load("demo", device="cpu", dtype="fp32") as ours:
        for prompt in PROMPTS:
            settings = {"num_inference_steps": STEPS, "guidance_scale": 2.0}
            seed = torch.Generator("cpu").manual_seed(SEED)
            latents = theirs(prompt, generator=seed, output_type="latent", **settings).images
            with torch.inference_mode():
                pixels = theirs.vae.decode(latents / theirs.vae.config.scaling_factor).sample
            picture = theirs.image_processor.postprocess(pixels, output_type="pil")[0]
            result = ours.txt2img(prompt, seed=SEED, sampler="dpmpp_2m", **settings)
            levels = np.abs(np.asarray(picture).astype(int) - np.asarray(result.images[0]))
            error = np.abs(result.latents - latents.numpy()).max()
            print(
                f"latents {error:.1e}  levels max {levels.max()}  within 1: {np.mean(levels <= 1):.5f}  {prompt}"
            )
            columns.append((picture, result.images[0]))
    side = columns[0][0].width
    sheet = Image.new("RGB", (side * len(columns), 2 * (side + LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(("diffusers, torch", "latentrt, no torch")):
        top = row * (side + LABEL)
        draw.text((2, top + 1), name, fill="black")
        for column, pair in enumerate(columns):
            sheet.paste(pair[row], (column * side, top + LABEL))
    sheet.save(out, optimize=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the picture to write")
    sys.exit(main(parser.parse_args().out))
