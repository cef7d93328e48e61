"""diffusers in torch. Runs under the Python of its own environment, and imports nothing of this package.

Every runner is made with the folder of the model and the work, and then asked to `paint`: the same prompt, initial
latents, steps, guidance and size, at every call and in every peer. `save` writes the last picture.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline


class Diffusers:
    """`StableDiffusionPipeline`, or that of SDXL, on the CPU.

    Args:
        model: the checkpoint's folder or file.
        work: prompt, steps, guidance, width, height, latents (a .npy file, float32, unit variance), picture, whether it
            is an xl model; of a file, descriptions, the folder of what diffusers would take from a hub.
        dtype: of weights and computation, "float32" or "bfloat16".
        channels_last: lay the convolutions out as (n, h, w, c).
        compiled: have `torch.compile` make the UNet and the decoder.
    """

    def __init__(
        self, model: str, work: dict[str, Any], dtype: str, channels_last: bool, compiled: bool
    ) -> None:
        kind = getattr(torch, dtype)
        self.work = work
        pipeline = StableDiffusionXLPipeline if work["xl"] else StableDiffusionPipeline
        options = {"torch_dtype": kind, "local_files_only": True}
        if not work["xl"]:
            options["safety_checker"] = None
        if Path(model).is_file():
            self.pipeline = pipeline.from_single_file(model, config=work["descriptions"], **options)
        else:
            self.pipeline = pipeline.from_pretrained(model, **options)
        self.pipeline.set_progress_bar_config(disable=True)
        self.latents = torch.from_numpy(np.load(work["latents"])).to(kind)
        if channels_last:
            self.pipeline.unet.to(memory_format=torch.channels_last)
            self.pipeline.vae.to(memory_format=torch.channels_last)
        if compiled:
            self.pipeline.unet = torch.compile(self.pipeline.unet)
            self.pipeline.vae.decode = torch.compile(self.pipeline.vae.decode)

    def paint(self) -> list[float]:
        """One picture; when each step ended, by the process's clock."""
        ends: list[float] = []

        def tell(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            ends.append(time.perf_counter())
            return tensors

        work = self.work
        self.picture = self.pipeline(
            work["prompt"],
            num_inference_steps=work["steps"],
            guidance_scale=work["guidance"],
            width=work["width"],
            height=work["height"],
            latents=self.latents.clone(),
            callback_on_step_end=tell,
        ).images[0]
        return ends

    def save(self) -> None:
        """Write the picture."""
        self.picture.convert("RGB").save(self.work["picture"])
