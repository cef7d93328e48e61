"""optimum-onnx's pipelines. Runs under the Python of its own environment; see `run_diffusers`."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession
from optimum.onnxruntime import ORTStableDiffusionPipeline, ORTStableDiffusionXLPipeline


class Optimum:
    """`ORTStableDiffusionPipeline`, or that of SDXL, on ONNX Runtime's CPU provider.

    Args:
        model: the folder of an export.
        work: see `run_diffusers.Diffusers`.
        graph: the name of the graphs' file in each component's folder.
    """

    def __init__(self, model: str, work: dict[str, Any], graph: str) -> None:
        self.work = work
        provider, sessions = "CPUExecutionProvider", {}
        for name in ("text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"):
            # SDXL's autoencoder overflows in fp16, and the pipeline knows no other than torch's to compute it in fp32.
            file = "model.fp32.onnx" if work["xl"] and name.startswith("vae") else graph
            path = Path(model, name, file)
            if file != "model.onnx" and path.is_file():  # the one name that it looks for
                sessions[f"{name}_session"] = InferenceSession(path, providers=[provider], enable_fallback=0)
        pipeline = ORTStableDiffusionXLPipeline if work["xl"] else ORTStableDiffusionPipeline
        options = {} if work["xl"] else {"safety_checker": None}
        self.pipeline = pipeline.from_pretrained(
            model, provider=provider, local_files_only=True, **options, **sessions
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.latents = torch.from_numpy(np.load(work["latents"]))

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
